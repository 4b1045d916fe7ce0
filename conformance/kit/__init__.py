"""What the suites of conformance/ share: who is in front, a service behind it, tools, tables.

Peers and their configurations are those of bench/."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent
WORK = HERE / "work"
RUN = WORK / "run"

sys.path.insert(0, str(ROOT / "bench"))

from harness import HOST, Failure  # noqa: E402

__all__ = ["HERE", "HOST", "ROOT", "RUN", "WORK", "Failure"]
