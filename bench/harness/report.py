"""How figures are shown: as a table for people, as JSON for programs, in RESULTS.md for readers."""

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from . import BENCH

#: Closer than this is a tie: the same contender differs as much from run to run.
TIE = 0.05


@dataclass
class Table:
    title: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Markdown that is aligned, so that it reads on a terminal too."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]

        def row(cells: list[str]) -> str:
            padded = (cell.ljust(width) for cell, width in zip(cells, widths))
            return f"| {' | '.join(padded)} |"

        rule = f"| {' | '.join('-' * max(width, 3) for width in widths)} |"
        body = "\n".join([row(self.header), rule, *map(row, self.rows)])
        notes = "".join(f"\n\n{note}" for note in self.notes if note)
        return f"### {self.title}\n\n{body}{notes}\n"


def spread(values: list[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def bytes_text(size: int) -> str:
    for unit, factor in (("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size} B"


def ratio_line(subject: str, cost: float | None, peers: dict[str, float], goal: float) -> str:
    """The subject against the best of the peers that the goal is set against."""
    if cost is None or not peers:
        return ""
    best = min(peers, key=peers.get)
    ratio = cost / peers[best]
    verdict = "met" if ratio <= goal else "missed"
    if abs(ratio - 1) <= TIE:
        verdict += ", a tie"
    return (
        f"{subject} {cost:.2f} µs against {best} {peers[best]:.2f} µs: "
        f"ratio **{ratio:.2f}**, goal {goal:.2f}: {verdict}."
    )


def surroundings(machine: dict, versions: dict[str, str]) -> str:
    loads = " ".join(map(str, machine["load_average"]))
    known = ", ".join(f"{name} {line}" for name, line in versions.items())
    return (
        f"{machine['date']}; {machine['cpu']}, {machine['cpus']} CPUs; Linux {machine['kernel']}; "
        f"load average before {loads}; commit {machine['commit']}.\nVersions: {known}."
    )


def write_section(mode: str, text: str, path: Path = BENCH / "RESULTS.md", tool: str = "bench/run") -> None:
    """Replaces the section of one mode in RESULTS.md, or another page; the others stay."""
    begin, end = f"<!-- {mode}: written by {tool} -->", f"<!-- end of {mode} -->"
    section = f"{begin}\n{text}\n{end}"
    page = path.read_text() if path.exists() else "# Results\n\nHow to read them: METHOD.md.\n"
    head, found, rest = page.partition(begin)
    if found:
        _, _, tail = rest.partition(end)
        page = head + section + tail
    else:
        page = f"{page.rstrip()}\n\n{section}\n"
    path.write_text(page)
