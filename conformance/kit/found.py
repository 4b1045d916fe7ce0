"""What an attacker found out."""

from collections import Counter


class Found:
    def __init__(self):
        self.ends: Counter[str] = Counter()
        self.connections = self.bytes = self.resets = self.refused = 0
        #: How long the longest connection lasted that was ended by the server.
        self.longest = 0.0
        #: Bytes received for each one sent; where that is looked at.
        self.amplification: float | None = None
