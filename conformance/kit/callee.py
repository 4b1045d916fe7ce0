"""A service of gRPC, made with grpcio: python3 -m kit.callee PORT SECURE_PORT CERT KEY

Messages are plain bytes. What a call is to do stands in its metadata:
want-status, want-message   the status it ends with
want-initial, want-trailer  (and -bin) metadata it sends
want-compression            gzip or deflate, for its answers
want-cancel                 the service cancels it: "at once" or after its answers
"""

import hashlib
import json
import sys
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
from harness.certificate import certificate

from . import HERE, HOST, RUN
from .ports import free_port
from .process import Process

SERVICE = "it.Calls"
#: More than one case needs at once: each call of a slow kind holds one.
THREADS = 160
NO_LIMITS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
             ("grpc.max_metadata_size", 64 << 10), ("grpc.absolute_max_metadata_size", 96 << 10),
             ("grpc.so_reuseport", 0)]  # fmt: skip
COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


class Callee(Process):
    def __init__(self, again: "Callee | None" = None):
        """`again`: the same once more, when it has ended."""
        port = again.port if again else free_port()
        self.secure_port = again.secure_port if again else free_port()
        self.made = made = again.made if again else certificate(RUN / "service")
        words = [str(port), str(self.secure_port), str(made.cert), str(made.key)]
        super().__init__("callee-again" if again else "callee", [sys.executable, "-m", "kit.callee", *words], port, PYTHONPATH=str(HERE))
        self.tls_lines = f'tls = {{ roots = "{made.cert}" }}'


class Calls(grpc.GenericRpcHandler):
    def __init__(self):
        self.lock = threading.Lock()
        #: What became of calls, by the name that their metadata gave them.
        self.fates: dict[str, list] = {}
        self.kinds = {
            "Echo": grpc.unary_unary_rpc_method_handler(self.echo),
            "Upload": grpc.stream_unary_rpc_method_handler(self.upload),
            "Download": grpc.unary_stream_rpc_method_handler(self.download),
            "Talk": grpc.stream_stream_rpc_method_handler(self.talk),
            "Sleep": grpc.unary_unary_rpc_method_handler(self.sleep),
            "Wait": grpc.unary_stream_rpc_method_handler(self.wait),
            "Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
            "Left": grpc.unary_unary_rpc_method_handler(self.left),
            "Fates": grpc.unary_unary_rpc_method_handler(self.tell_fates),
        }

    def service(self, details):
        package, _, method = details.method.rpartition("/")
        return self.kinds.get(method) if package == f"/{SERVICE}" else None

    def begin(self, context) -> dict:
        wishes = {}
        initial, trailing = [], []
        for key, value in context.invocation_metadata():
            wishes[key] = value
            if key.startswith("want-initial"):
                initial.append((key, value))
            elif key.startswith("want-trailer"):
                trailing.append((key, value))
        if compression := COMPRESSIONS.get(wishes.get("want-compression")):
            context.set_compression(compression)
        if trailing:
            context.set_trailing_metadata(trailing)
        if initial:
            context.send_initial_metadata(initial)
        if wishes.get("want-cancel") == "at once":
            context.cancel()
        if name := wishes.get("name"):
            self.note(name, "begun")
            context.add_callback(lambda: self.note(name, "ended" if context.code() is not None else "cancelled"))
        return wishes

    def note(self, name: str, fate) -> None:
        with self.lock:
            self.fates.setdefault(name, []).append(fate)

    def end(self, context, wishes: dict) -> None:
        if "want-cancel" in wishes:
            context.cancel()
        status = int(wishes.get("want-status", 0))
        if status:
            code = next(code for code in grpc.StatusCode if code.value[0] == status)
            message = wishes.get("want-message-bin", b"").decode()
            context.abort(code, message)

    def echo(self, request, context):
        self.end(context, self.begin(context))
        return request

    def upload(self, requests, context):
        wishes = self.begin(context)
        count, size, digest = 0, 0, hashlib.sha256()
        for request in requests:
            count, size = count + 1, size + len(request)
            digest.update(request)
            if count == int(wishes.get("want-after", -1)):
                break
        self.end(context, wishes)
        return json.dumps([count, size, digest.hexdigest()]).encode()

    def download(self, request, context):
        wishes = self.begin(context)
        plan = json.loads(request)
        piece = bytes(range(256)) * (plan["size"] // 256) + b"x" * (plan["size"] % 256)
        for number in range(plan["count"]):
            if name := wishes.get("name"):
                self.note(name, number)
            yield piece
            time.sleep(plan.get("pause", 0))
        self.end(context, wishes)

    def talk(self, requests, context):
        wishes = self.begin(context)
        for request in requests:
            if request == b"bye":
                break
            yield request
        self.end(context, wishes)

    def sleep(self, request, context):
        self.begin(context)
        until = time.monotonic() + float(request)
        while time.monotonic() < until and context.is_active():
            time.sleep(0.01)
        return b"awake"

    def wait(self, request, context):
        """Says one thing, and then nothing until the client has gone."""
        self.begin(context)
        yield request
        while context.is_active():
            time.sleep(0.01)

    def metadata(self, request, context):
        self.begin(context)
        found = [[key, value.hex() if isinstance(value, bytes) else value]
                 for key, value in context.invocation_metadata()]  # fmt: skip
        return json.dumps(found).encode()

    def left(self, request, context):
        return json.dumps(context.time_remaining()).encode()

    def tell_fates(self, request, context):
        with self.lock:
            return json.dumps(self.fates.get(request.decode(), [])).encode()


def main() -> None:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    server = grpc.server(futures.ThreadPoolExecutor(THREADS), options=NO_LIMITS)
    server.add_generic_rpc_handlers((Calls(),))
    asked = health.HealthServicer()
    asked.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(asked, server)
    port, secure_port, cert, key = sys.argv[1:]
    pair = Path(key).read_bytes(), Path(cert).read_bytes()
    if not server.add_insecure_port(f"{HOST}:{port}"):
        sys.exit(f"port {port} is taken")
    if not server.add_secure_port(f"{HOST}:{secure_port}", grpc.ssl_server_credentials([pair])):
        sys.exit(f"port {secure_port} is taken")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
