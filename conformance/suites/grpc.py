"""Calls of gRPC between a client and a service made with grpcio, through Doorward on both listeners.

Also gRPC-Web, by the client of sonora. Each case is run without a proxy first: what fails there is the
case's own fault."""

import argparse
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from kit import HOST, Failure
from kit.front import chosen, front
from kit.outcome import Outcome, Table, say

PACKAGES = ("grpc", "grpc_health", "sonora")
SERVICE_LINES = 'protocol = "h2"'
ROUTE_LINES = """\
grpc-web = true

[[route]]
path = "/it.Small/*"
service = "origin"
body-limit = "10KiB"
"""
MIB = 1 << 20
#: How long anything may take on a busy machine.
LIMIT = 30
#: How late Doorward may notice that a time is over, and a service that a call is.
LATE_SECONDS = 2
METHOD = "/it.Calls/"
UNICODE = "Grüße 🚪 100% \n of them"

CASES = []


def case(only: str = ""):
    """`only`: "through" a front, or through a "plain" one."""

    def add(function):
        CASES.append((function.__name__.replace("_", " "), function, only))
        return function

    return add


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listener", choices=("plain", "tls", "both"), default="both")
    parser.add_argument("--case", nargs="+", default=[], metavar="WORDS", help="cases with these words in their names")


class Way:
    """How a client reaches the service."""

    def __init__(self, name: str, port: int, callee, certificate=None):
        self.name, self.port, self.callee, self.certificate = name, port, callee, certificate
        self.through = name != "nobody"

    def channel(self, **more):
        import grpc

        set_up = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                  ("grpc.max_metadata_size", 64 << 10), ("grpc.absolute_max_metadata_size", 96 << 10),
                  # Each case has connections of its own.
                  ("grpc.use_local_subchannel_pool", 1), *more.items()]  # fmt: skip
        target = f"{HOST}:{self.port}"
        if not self.certificate:
            return grpc.insecure_channel(target, options=set_up)
        with open(self.certificate.cert, "rb") as roots:
            trusted = grpc.ssl_channel_credentials(roots.read())
        set_up.append(("grpc.ssl_target_name_override", "localhost"))
        return grpc.secure_channel(target, trusted, options=set_up)


def run(given: argparse.Namespace) -> Outcome:
    from kit.callee import Callee

    picked = [one for one in CASES if not given.case or any(words in one[0] for words in given.case)]
    if not picked:
        raise Failure(f"no case has these words: {given.case}")
    rows, notes, outcome = [], [], Outcome()
    with Callee() as callee:
        ways = [Way("nobody", callee.port, callee)]
        play(ways[0], picked, rows, notes)
        for name in chosen(given):
            if name != "doorward":
                raise Failure("the peers of bench/ speak HTTP/1.1 to services, and no gRPC")
            plain_only = given.listener == "plain"
            # As a service that is called by TLS, the same; one listener shows enough.
            for lines, port, add in ((SERVICE_LINES, callee.port, ""),
                                     (f"{SERVICE_LINES}\n{callee.tls_lines}", callee.secure_port, ", service by TLS")):  # fmt: skip
                with front(name, port, given, lines, plain_only, route=ROUTE_LINES) as proxy:
                    listeners = ("plain", "tls") if given.listener == "both" and not add else (given.listener,)
                    for listener in listeners:
                        secure = listener != "plain"
                        at = proxy.secure_port if secure else proxy.plain_port
                        shown = f"{name}, {'tls' if secure else 'plain'}{add}"
                        way = Way(shown, at, callee, proxy.certificate if secure else None)
                        outcome.failed |= play(way, picked, rows, notes)
                        if not proxy.is_running():
                            raise Failure(f"{name} ended: {proxy.last_words()}")
    outcome.tables.append(Table("gRPC", ["through", "cases", "pass"], rows, notes))
    return outcome


def play(way: Way, picked: list, rows: list, notes: list) -> bool:
    """Whether anything failed."""
    say(f"grpc, {way.name}")
    count, failed = 0, {}
    for name, function, only in picked:
        if (only and not way.through) or (only == "plain" and way.certificate):
            continue
        count += 1
        try:
            function(way)
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            say(f"  failed: {name}: {failed[name]}")
    rows.append([way.name, str(count), str(count - len(failed))])
    notes += [f"{way.name} fails: {name}: {why}" for name, why in failed.items()]
    return bool(failed)


def check(found, wanted) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}"[:300])


def refused(call):
    """The error that a call ends with."""
    import grpc

    try:
        found = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"the call went well: {found!r}"[:300])


def until(what: str, ask):
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


def fates(way: Way, name: str) -> list:
    """What the service knows of the call with that name, asked without anybody between."""
    with Way("nobody", way.callee.port, way.callee).channel() as channel:
        return json.loads(channel.unary_unary(METHOD + "Fates")(name.encode(), timeout=LIMIT))


_names = iter(range(1 << 30))


def named() -> str:
    return f"call-{next(_names)}"


# The four kinds of calls.


@case()
def one_question_one_answer(way):
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        for message in (b"", b"x", b"hello" * 1000):
            check(echo(message, timeout=LIMIT), message)


@case()
def many_questions_one_answer(way):
    import hashlib

    messages = [bytes([at % 256]) * at for at in range(300)]
    whole = b"".join(messages)
    with way.channel() as channel:
        found = channel.stream_unary(METHOD + "Upload")(iter(messages), timeout=LIMIT)
    check(json.loads(found), [300, len(whole), hashlib.sha256(whole).hexdigest()])


@case()
def one_question_many_answers(way):
    plan = json.dumps({"count": 300, "size": 1000}).encode()
    with way.channel() as channel:
        found = [len(piece) for piece in channel.unary_stream(METHOD + "Download")(plan, timeout=LIMIT)]
    check(found, [1000] * 300)


class Asker:
    """Questions as they are put, for a stream."""

    def __init__(self):
        import queue

        self.waiting = queue.Queue()

    def ask(self, question: bytes | None) -> None:
        self.waiting.put(question)

    def __iter__(self):
        return iter(self.waiting.get, None)


@case()
def ping_pong(way):
    asker = Asker()
    with way.channel() as channel:
        answers = channel.stream_stream(METHOD + "Talk")(iter(asker), timeout=LIMIT)
        for number in range(200):
            asker.ask(b"ping %d" % number)
            check(next(answers), b"ping %d" % number)
        asker.ask(None)
        check(list(answers), [])
        check(answers.code().value[0], 0)


@case()
def the_first_answer_before_the_first_question(way):
    """Initial metadata comes at once, not with the first message."""
    asker = Asker()
    with way.channel() as channel:
        talk = channel.stream_stream(METHOD + "Talk")
        answers = talk(iter(asker), timeout=LIMIT, metadata=[("want-initial", "early")])
        check(dict(answers.initial_metadata())["want-initial"], "early")
        asker.ask(b"bye")
        check(list(answers), [])


@case()
def a_service_that_has_heard_enough(way):
    """It ends the call while the client would go on for ever."""

    def endless():
        while True:
            yield b"x" * 1000

    with way.channel() as channel:
        upload = channel.stream_unary(METHOD + "Upload")
        count, _, _ = json.loads(upload(endless(), timeout=LIMIT, metadata=[("want-after", "5")]))
        check(count, 5)
        wishes = [("want-after", "5"), ("want-status", "9")]
        error = refused(lambda: upload(endless(), timeout=LIMIT, metadata=wishes))
        check(error.code().value[0], 9)


@case()
def ten_thousand_small_messages(way):
    with way.channel() as channel:
        talk = channel.stream_stream(METHOD + "Talk")
        questions = (b"%d" % number for number in range(10_000))
        check(sum(1 for _ in talk(questions, timeout=LIMIT)), 10_000)


# Statuses and metadata.


@case()
def every_status(way):
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        for status in range(1, 17):
            for message in ("", "plain words", UNICODE):
                wishes = [("want-status", str(status)), ("want-message-bin", message.encode())]
                error = refused(lambda wishes=wishes: echo(b"x", timeout=LIMIT, metadata=wishes))
                check((error.code().value[0], error.details()), (status, message))


@case()
def a_status_behind_answers(way):
    plan = json.dumps({"count": 3, "size": 10}).encode()
    wishes = [("want-status", "10"), ("want-message-bin", UNICODE.encode()), ("want-trailer", "kept")]
    with way.channel() as channel:
        answers = channel.unary_stream(METHOD + "Download")(plan, timeout=LIMIT, metadata=wishes)
        found = []
        error = refused(lambda: found.extend(answers))
        check(len(found), 3)
        check((error.code().value[0], error.details()), (10, UNICODE))
        check(dict(error.trailing_metadata())["want-trailer"], "kept")


@case()
def trailers_only(way):
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        wishes = [("want-status", "5"), ("want-trailer", "alone")]
        error = refused(lambda: echo(b"x", timeout=LIMIT, metadata=wishes))
        check((error.code().value[0], dict(error.trailing_metadata())["want-trailer"]), (5, "alone"))


@case()
def a_method_that_is_not_there(way):
    with way.channel() as channel:
        error = refused(lambda: channel.unary_unary(METHOD + "Nothing")(b"", timeout=LIMIT))
        check(error.code().value[0], 12)


@case()
def metadata_goes_both_ways(way):
    sent = [("one", "1"), ("one", "2"), ("some-bin", bytes(range(256))), ("empty-bin", b"")]
    with way.channel() as channel:
        found = json.loads(channel.unary_unary(METHOD + "Metadata")(b"", timeout=LIMIT, metadata=sent))
    values = [value for key, value in found if key == "one"]
    check(values, ["1", "2"])
    binary = {key: bytes.fromhex(value) for key, value in found if key.endswith("-bin")}
    check(binary, {"some-bin": bytes(range(256)), "empty-bin": b""})
    wishes = [("want-initial-bin", bytes(range(256))), ("want-trailer-bin", b"\0\xff" * 10)]
    with way.channel() as channel:
        _, call = channel.unary_unary(METHOD + "Echo").with_call(b"x", timeout=LIMIT, metadata=wishes)
        check(dict(call.initial_metadata())["want-initial-bin"], bytes(range(256)))
        check(dict(call.trailing_metadata())["want-trailer-bin"], b"\0\xff" * 10)


@case()
def large_metadata(way):
    """16 KiB, in one value and in many."""
    many = [(f"want-trailer-{at}", "x" * 100) for at in range(60)]
    wishes = [("want-initial", "y" * 10_000), *many]
    with way.channel() as channel:
        _, call = channel.unary_unary(METHOD + "Echo").with_call(b"x", timeout=LIMIT, metadata=wishes)
        check(dict(call.initial_metadata())["want-initial"], "y" * 10_000)
        found = dict(call.trailing_metadata())
        check([found.get(key) for key, _ in many], [value for _, value in many])


@case()
def compression(way):
    import grpc

    message = b"again and again, " * 10_000
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        for name, kind in (("gzip", grpc.Compression.Gzip), ("deflate", grpc.Compression.Deflate)):
            wishes = [("want-compression", name)]
            check(echo(message, timeout=LIMIT, compression=kind, metadata=wishes), message)
        talk = channel.stream_stream(METHOD + "Talk")
        wishes = [("want-compression", "gzip")]
        answers = talk(iter([message] * 3), timeout=LIMIT, compression=grpc.Compression.Gzip, metadata=wishes)
        check(list(answers), [message] * 3)


# Much of it.


@case()
def large_messages(way):
    """4 MiB in both directions, and 16 MiB."""
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        for size in (4 * MIB, 16 * MIB):
            check(echo(b"z" * size, timeout=LIMIT) == b"z" * size, True)
        talk = channel.stream_stream(METHOD + "Talk")
        sizes = [len(answer) for answer in talk(iter([b"z" * 4 * MIB] * 4), timeout=LIMIT)]
        check(sizes, [4 * MIB] * 4)


@case()
def one_hundred_streams_on_one_connection(way):
    def talk(channel, number: int) -> int:
        asker = Asker()
        answers = channel.stream_stream(METHOD + "Talk")(iter(asker), timeout=LIMIT)
        for at in range(20):
            asker.ask(b"%d %d" % (number, at))
            check(next(answers), b"%d %d" % (number, at))
            if at == 0:
                # All are open at once.
                together.wait(LIMIT)
        asker.ask(None)
        return len(list(answers))

    together = threading.Barrier(100)
    with way.channel() as channel, ThreadPoolExecutor(100) as threads:
        check(list(threads.map(lambda number: talk(channel, number), range(100))), [0] * 100)


@case()
def a_slow_reader_slows_the_service_down(way):
    """Of 256 MiB, only what fits into windows and buffers may be under way while nobody reads."""
    name, count, size = named(), 1024, 256 * 1024
    plan = json.dumps({"count": count, "size": size}).encode()
    with way.channel(**{"grpc.http2.bdp_probe": 0, "grpc.http2.lookahead_bytes": 64 << 10}) as channel:
        answers = channel.unary_stream(METHOD + "Download")(plan, timeout=LIMIT * 4, metadata=[("name", name)])
        next(answers)
        sent = -1
        while sent != (now := len(fates(way, name))):
            sent = now
            time.sleep(0.5)
        if sent * size > 64 * MIB:
            raise AssertionError(f"the service has sent {sent * size // MIB} MiB")
        # Others go on meanwhile, on the same connection.
        check(channel.unary_unary(METHOD + "Echo")(b"x" * MIB, timeout=LIMIT) == b"x" * MIB, True)
        check(1 + sum(1 for _ in answers), count)


@case()
def a_slow_service_slows_the_client_down(way):
    """It takes no message while it sleeps; the client must not be able to send all."""
    taken = 0

    def endless():
        nonlocal taken
        while taken < 2048:
            taken += 1
            yield b"x" * 65536

    with way.channel() as channel:
        # `Wait` answers once and reads no more.
        call = channel.stream_stream(METHOD + "Wait")(endless(), timeout=LIMIT)
        next(call)
        before = -1
        while before != taken:
            before = taken
            time.sleep(0.5)
        call.cancel()
        if taken >= 2048:
            raise AssertionError("all of 128 MiB was taken")


# Ends before their time.


@case()
def a_client_that_cancels(way):
    """The service hears of it, whatever the kind of call and wherever it stands."""
    with way.channel() as channel:
        kinds = {
            "Sleep": lambda wishes: channel.unary_unary(METHOD + "Sleep").future(b"20", metadata=wishes),
            "Wait": lambda wishes: channel.unary_stream(METHOD + "Wait")(b"x", metadata=wishes),
            "Talk": lambda wishes: channel.stream_stream(METHOD + "Talk")(iter(Asker()), metadata=wishes),
            "Upload": lambda wishes: channel.stream_unary(METHOD + "Upload").future(iter(Asker()), metadata=wishes),
        }
        for kind, begin in kinds.items():
            name = named()
            call = begin([("name", name)])
            until(f"{kind} has begun", lambda name=name: fates(way, name))
            if kind == "Wait":
                next(call)
            call.cancel()
            began = time.monotonic()
            until(f"{kind} is cancelled", lambda name=name: "cancelled" in fates(way, name))
            if time.monotonic() - began > LATE_SECONDS:
                raise AssertionError(f"{kind}: the service heard of it after {time.monotonic() - began:.1f} s")
        # The connection is as good as before.
        check(channel.unary_unary(METHOD + "Echo")(b"x", timeout=LIMIT), b"x")


@case()
def a_service_that_cancels(way):
    """Before it answered, and in the middle."""
    plan = json.dumps({"count": 3, "size": 10}).encode()
    with way.channel() as channel:
        echo = channel.unary_unary(METHOD + "Echo")
        error = refused(lambda: echo(b"x", timeout=LIMIT, metadata=[("want-cancel", "at once")]))
        check(error.code().value[0], 1)
        download = channel.unary_stream(METHOD + "Download")
        found = []
        error = refused(lambda: found.extend(download(plan, timeout=LIMIT, metadata=[("want-cancel", "later")])))
        check(error.code().value[0], 1)


@case()
def a_client_that_vanishes(way):
    name = named()
    channel = way.channel()
    answers = channel.unary_stream(METHOD + "Wait")(b"x", metadata=[("name", name)])
    next(answers)
    channel.close()
    until("the call is cancelled", lambda: "cancelled" in fates(way, name))


@case()
def a_deadline(way):
    with way.channel() as channel:
        name = named()
        began = time.monotonic()
        sleep = channel.unary_unary(METHOD + "Sleep")
        error = refused(lambda: sleep(b"20", timeout=0.5, metadata=[("name", name)]))
        check(error.code().value[0], 4)
        if not 0.4 < time.monotonic() - began < 0.5 + LATE_SECONDS:
            raise AssertionError(f"it took {time.monotonic() - began:.1f} s")
        until("the call is cancelled", lambda: "cancelled" in fates(way, name))
        check(sleep(b"0.2", timeout=LIMIT), b"awake")


@case()
def a_deadline_of_a_stream(way):
    plan = json.dumps({"count": 100, "size": 10, "pause": 0.1}).encode()
    with way.channel() as channel:
        found = []
        answers = channel.unary_stream(METHOD + "Download")(plan, timeout=1)
        error = refused(lambda: found.extend(answers))
        check(error.code().value[0], 4)
        if not 3 <= len(found) <= 12:
            raise AssertionError(f"{len(found)} answers in a second")


@case()
def a_deadline_is_passed_on(way):
    with way.channel() as channel:
        left = channel.unary_unary(METHOD + "Left")
        for timeout in (3, 100, 4000):
            found = json.loads(left(b"", timeout=timeout))
            # The client itself writes it with two or three digits, rounded up.
            if not timeout - LATE_SECONDS < found <= timeout * 1.02:
                raise AssertionError(f"of {timeout} s, {found} s were left")
        # Without a limit there is none.
        found = json.loads(left(b""))
        if found is not None and found < 86_400:
            raise AssertionError(f"{found} s were left of no limit")


@case("through")
def a_service_that_breaks_off(way):
    """Killed in the middle of a stream: the client gets an error, and another call goes well."""
    from kit.callee import Callee

    with way.channel() as channel:
        answers = channel.unary_stream(METHOD + "Wait")(b"x", timeout=LIMIT)
        next(answers)
        way.callee.child.kill()
        way.callee.child.wait()
        error = refused(lambda: list(answers))
        check(error.code().value[0], 14)
        error = refused(lambda: channel.unary_unary(METHOD + "Echo")(b"x", timeout=LIMIT))
        check((error.code().value[0], "could not be reached" in error.details()), (14, True))
        again = Callee(way.callee).__enter__()
        way.callee.child = again.child
        echo = channel.unary_unary(METHOD + "Echo")

        def works():
            import grpc

            try:
                return echo(b"x", timeout=LIMIT) == b"x"
            except grpc.RpcError:
                return False

        until("calls go well again", works)


# What Doorward itself says.


@case("through")
def faults_are_statuses(way):
    with way.channel() as channel:
        error = refused(lambda: channel.unary_unary("/none/Here")(b"", timeout=LIMIT))
        check(error.code().value[0], 12)
        # More than a route may take.
        echo = channel.unary_unary("/it.Small/Echo")
        error = refused(lambda: echo(b"x" * 100_000, timeout=LIMIT))
        check(error.code().value[0], 8)


@case("through")
def health_is_asked_by_the_usual_client(way):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with way.channel() as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(service="it.Calls"), timeout=LIMIT)
        check(answer.status, health_pb2.HealthCheckResponse.SERVING)
        error = refused(lambda: stub.Check(health_pb2.HealthCheckRequest(service="none"), timeout=LIMIT))
        check(error.code().value[0], 5)


# gRPC-Web.


def web(way):
    from sonora.client import insecure_web_channel

    return insecure_web_channel(f"http://{HOST}:{way.port}")


def plain(message: bytes) -> bytes:
    return message


@case("plain")
def web_calls(way):
    with web(way) as channel:
        echo = channel.unary_unary(METHOD + "Echo", plain, plain)
        for message in (b"", b"hello", b"z" * MIB):
            check(echo(message), message)
        download = channel.unary_stream(METHOD + "Download", plain, plain)
        answers = download(json.dumps({"count": 20, "size": 999}).encode())
        check([len(answer) for answer in answers], [999] * 20)


@case("plain")
def web_statuses(way):
    from sonora.protocol import WebRpcError

    with web(way) as channel:
        echo = channel.unary_unary(METHOD + "Echo", plain, plain)
        for status in range(1, 17):
            wishes = [("want-status", str(status)), ("want-message-bin", UNICODE.encode())]
            try:
                echo(b"x", metadata=wishes)
            except WebRpcError as error:
                check((error.code().value[0], error.details()), (status, UNICODE))
            else:
                raise AssertionError(f"status {status} did not come")
        download = channel.unary_stream(METHOD + "Download", plain, plain)
        wishes = [("want-status", "10"), ("want-message-bin", b"late")]
        found = []
        try:
            found.extend(download(json.dumps({"count": 3, "size": 9}).encode(), metadata=wishes))
        except WebRpcError as error:
            check((error.code().value[0], error.details(), len(found)), (10, "late", 3))
        else:
            raise AssertionError("the status behind answers did not come")


@case("plain")
def web_in_base64(way):
    """By hand: no client that can be had speaks it."""
    import base64
    import http.client
    import struct

    message = b"hello in base64"
    frame = b"\0" + struct.pack(">I", len(message)) + message
    client = http.client.HTTPConnection(HOST, way.port, timeout=LIMIT)
    fields = {"content-type": "application/grpc-web-text+proto", "accept": "application/grpc-web-text+proto"}
    client.request("POST", METHOD + "Echo", base64.b64encode(frame), fields)
    answer = client.getresponse()
    check((answer.status, answer.headers["content-type"]), (200, "application/grpc-web-text"))
    text = answer.read().decode()
    body = b"".join(base64.b64decode(text[at : at + 4]) for at in range(0, len(text), 4))
    check(body[: len(frame)], frame)
    check(body[len(frame)], 0x80)
    check(b"grpc-status: 0\r\n" in body[len(frame) :], True)
