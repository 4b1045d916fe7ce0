"""What sslyze, openssl and testssl.sh find to say about TLS: versions, suites, resumption, known attacks.

sslyze is from PyPI; testssl.sh from Debian, whose findings of severity LOW and worse count. What follows from
the test's own certificate (it signs itself) is left out."""

import argparse
import json
import subprocess

from kit import HOST, RUN, Failure, tools
from kit.front import chosen, front
from kit.origin import Origin
from kit.outcome import Outcome, Table, say

PACKAGES = ("sslyze",)
#: RFC 9325, 4.2: forward secrecy and AEAD; what Mozilla calls intermediate for TLS 1.2, and all of TLS 1.3.
MODERN_START = ("TLS_ECDHE_ECDSA_WITH_AES_", "TLS_ECDHE_RSA_WITH_AES_", "TLS_ECDHE_ECDSA_WITH_CHACHA20_",
                "TLS_ECDHE_RSA_WITH_CHACHA20_", "TLS_AES_", "TLS_CHACHA20_")  # fmt: skip
MODERN_PART = ("_GCM_", "_CHACHA20_", "TLS_AES_")
OLD = ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
NEW = ("tls_1_2", "tls_1_3")
#: Findings of testssl.sh that are about the certificate of the test, not about the server.
OF_THE_TEST = ("cert_", "OCSP", "DNS_", "overall_grade", "security_headers", "HSTS", "HPKP", "banner_", "cookie",
               "chain_of_trust", "certificate_transparency", "engine_problem", "scanTime", "final_score", "grade_cap",
               "HTTP_", "BREACH", "trust")  # fmt: skip
TESTSSL_SECONDS = 500


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tool", choices=("sslyze", "testssl", "both"), default="both")


def run(given: argparse.Namespace) -> Outcome:
    outcome = Outcome()
    rows = []
    with Origin() as origin:
        for name in chosen(given):
            with front(name, origin.port, given) as proxy:
                if given.tool != "testssl":
                    say(f"sslyze, {name}")
                    weak = sslyze(proxy.secure_port, rows, name) | resumed(proxy.secure_port, rows, name)
                    outcome.failed |= weak and name == "doorward"
                if given.tool != "sslyze":
                    say(f"testssl, {name}")
                    weak = testssl(proxy.secure_port, rows, name)
                    outcome.failed |= weak and name == "doorward"
    outcome.tables.append(Table("TLS", ["who", "tool", "looked at", "found", "verdict"], rows))
    return outcome


def sslyze(port: int, rows: list[list[str]], name: str) -> bool:
    """Adds a row for each thing that was looked at; whether one is weak."""
    from sslyze import (
        ScanCommandAttemptStatusEnum,
        Scanner,
        ServerNetworkConfiguration,
        ServerNetworkLocation,
        ServerScanRequest,
    )

    place = ServerNetworkLocation(hostname="localhost", port=port, ip_address=HOST)
    network = ServerNetworkConfiguration(tls_server_name_indication="localhost")
    scanner = Scanner()
    scanner.queue_scans([ServerScanRequest(server_location=place, network_configuration=network)])
    scanned = next(iter(scanner.get_results()))
    if scanned.scan_result is None:
        raise Failure(f"sslyze could not connect: {scanned.connectivity_error_trace}")
    found = []
    for what, verdict in judged(scanned.scan_result, ScanCommandAttemptStatusEnum).items():
        found.append(verdict[1])
        rows.append([name, "sslyze", what, verdict[0], "good" if verdict[1] else "**weak**"])
    return not all(found)


def judged(result, status) -> dict[str, tuple[str, bool]]:
    """What was looked at, what was found, and whether it is good."""
    verdicts: dict[str, tuple[str, bool]] = {}

    def of(command: str):
        attempt = getattr(result, command)
        if attempt.status != status.COMPLETED:
            raise Failure(f"sslyze did not complete {command}: {attempt.error_trace or attempt.error_reason}")
        return attempt.result

    for version in OLD + NEW:
        accepted = [suite.cipher_suite.name for suite in of(f"{version}_cipher_suites").accepted_cipher_suites]
        weak = [suite for suite in accepted if not modern(suite)]
        good = not accepted if version in OLD else bool(accepted) and not weak
        shown = ", ".join(weak) if weak else f"{len(accepted)} suites" if accepted else "refused"
        verdicts[version.upper().replace("_", " ", 1).replace("_", ".")] = (shown, good)
    simple = {
        "Heartbleed": ("heartbleed", "is_vulnerable_to_heartbleed", False),
        "CCS injection": ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False),
        "compression (CRIME)": ("tls_compression", "supports_compression", False),
        "early data (0-RTT)": ("tls_1_3_early_data", "supports_early_data", False),
        "renegotiation by clients": ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", False),
        "secure renegotiation": ("session_renegotiation", "supports_secure_renegotiation", True),
        "extended master secret": ("tls_extended_master_secret", "supports_ems_extension", True),
    }
    for what, (command, attribute, wanted) in simple.items():
        value = getattr(of(command), attribute)
        verdicts[what] = ("yes" if value else "no", value == wanted)
    robot = of("robot").robot_result.name
    verdicts["ROBOT"] = (robot.lower().replace("_", " "), robot.startswith("NOT_VULNERABLE"))
    curves = [curve.name for curve in of("elliptic_curves").supported_curves]
    verdicts["curves"] = (", ".join(curves), not {"prime192v1", "secp224r1", "secp160k1"} & set(curves))
    by_id = of("session_resumption").session_id_resumption_result.name.lower().replace("_", " ")
    verdicts["resumption with session ids, TLS 1.2"] = (by_id, "fully" in by_id)
    return verdicts


def resumed(port: int, rows: list[list[str]], name: str) -> bool:
    """Adds a row for each version: whether openssl goes on with an earlier session; whether one does not.

    sslyze calls tickets unsupported as soon as a server gives a new one with the resumed session, which is what
    RFC 5077, 3.3 and RFC 8446, 4.6.1 provide for and what keeps them from being followed from visit to visit."""
    session, weak = RUN / "openssl.session", False
    for version, flag in (("TLS 1.2", "-tls1_2"), ("TLS 1.3", "-tls1_3")):
        session.unlink(missing_ok=True)
        for way in ("-sess_out", "-sess_in"):
            command = ["openssl", "s_client", "-connect", f"{HOST}:{port}", flag, way, str(session), "-ign_eof"]
            request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=30)
        found = "yes" if "Reused, " in done.stdout else "no"
        weak |= found == "no"
        rows.append([name, "openssl", f"resumption with tickets, {version}", found, "good" if found == "yes" else "**weak**"])
    return weak


def modern(suite: str) -> bool:
    return suite.startswith(MODERN_START) and any(part in suite for part in MODERN_PART)


def testssl(port: int, rows: list[list[str]], name: str) -> bool:
    """Adds a row for each finding; whether there is one."""
    tools.debian("testssl.sh", "bsdextrautils", "dnsutils", "procps")
    report = RUN / "testssl.json"
    report.unlink(missing_ok=True)
    command = [tools.find("testssl", "testssl.sh"), "--quiet", "--color", "0", "--warnings", "off", "--ip", HOST,
               "--nodns", "min", "--jsonfile", str(report), f"localhost:{port}"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TESTSSL_SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"testssl did not end within {TESTSSL_SECONDS} s") from expired
    if not report.exists():
        raise Failure(f"testssl: {(done.stdout + done.stderr)[-1000:]}")
    findings = json.loads(report.read_text())
    ours = [one for one in findings if not one["id"].startswith(OF_THE_TEST)]
    bad = [one for one in ours if one["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")]
    rows.append([name, "testssl", f"{len(ours)} things", f"{len(bad)} of them", "**weak**" if bad else "good"])
    for one in bad:
        rows.append([name, "testssl", one["id"], one["finding"], f"**{one['severity'].lower()}**"])
    return bool(bad)
