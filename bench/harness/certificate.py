"""Certificates for one run, made by openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import HOST, Failure

#: The name on the certificates.
NAME = "localhost"
KEYS = {
    "ecdsa": ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"],
    "rsa": ["-newkey", "rsa:2048"],
}


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path
    #: Both in one file, as HAProxy wants them.
    pair: Path

    def fingerprint(self) -> str:
        """SHA-256 of the public key in base64, as Chromium wants to have it."""
        command = (
            f"openssl x509 -in '{self.cert}' -pubkey -noout | openssl pkey -pubin -outform der"
            " | openssl dgst -sha256 -binary | openssl base64"
        )
        return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout.strip()


def certificate(folder: Path, kind: str = "ecdsa") -> Certificate:
    """One that signs itself, for localhost; valid for ten days, because Chromium accepts no longer
    validity over QUIC than fourteen."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificate(*(folder / f"{kind}.{ending}" for ending in ("pem", "key", "pair")))
    done = subprocess.run(
        ["openssl", "req", "-x509", *KEYS[kind], "-sha256", "-nodes", "-days", "10",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME},IP:{HOST}",
         "-addext", "extendedKeyUsage=serverAuth", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", str(made.key), "-out", str(made.cert)],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise Failure(f"openssl: {done.stderr}")
    made.pair.write_text(made.cert.read_text() + made.key.read_text())
    return made
