"""Tools that others made: Debian's and Python's packages. None of their code is in this repository."""

import os
import shutil
import subprocess
import sys

from . import WORK, Failure

#: Where each version was tried; newer ones will do.
PYTHON_PACKAGES = {
    "grpc": "grpcio==1.85.1",
    "grpc_health": "grpcio-health-checking==1.85.1",
    "sonora": "sonora==0.2.3",
    "kosoku": "kosoku==0.1.0",
    "sslyze": "sslyze==6.3.1",
    "aioquic": "aioquic==1.7.2",
    "curl_cffi": "curl_cffi==0.16.3",
    "h2": "h2==4.4.1",
    "websockets": "websockets==17.4",
}


def debian(*packages: str) -> None:
    """Installs what is missing of Debian's packages."""
    shown = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *packages], capture_output=True, text=True
    ).stdout
    missing = [package for package in packages if f"{package} installed" not in shown.splitlines()]
    if not missing:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*sudo, "apt-get", "update", "-qq"], check=True)
    subprocess.run([*sudo, "apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing], check=True)


def go_on_with(packages: tuple[str, ...]) -> None:
    """Goes on in an environment of conformance/'s own that has these Python packages."""
    if not packages:
        return
    folder = WORK / "python"
    python = folder / "bin" / "python3"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    wanted = [package for package in packages if not any((folder / "lib").glob(f"python*/site-packages/{package}"))]
    if wanted:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *(PYTHON_PACKAGES[package] for package in wanted)], check=True)
    if sys.prefix != str(folder):
        os.execv(python, [str(python), *sys.argv])


def find(program: str, package: str) -> str:
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if not found:
        raise Failure(f"there is no {program}; Debian's package {package} has it")
    return found
