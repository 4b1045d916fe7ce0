"""What a suite found."""

import sys
from dataclasses import dataclass, field

from harness.report import Table

__all__ = ["Outcome", "Table", "say"]


@dataclass
class Outcome:
    tables: list[Table] = field(default_factory=list)
    #: Something is not as it has to be.
    failed: bool = False


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
