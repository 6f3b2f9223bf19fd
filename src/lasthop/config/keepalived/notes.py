"""What of a keepalived.conf is left out, and why. Must not be here: what is taken over."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.config.keepalived.syntax import Entry


class Notes:
    """Lines for the operator, each with its place in the file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self.left_out: list[str] = []

    def leave(self, entry: Entry, why: str) -> None:
        """An entry is left out."""
        self.left_out.append(f"{self._file}:{entry.line}: left out: {entry}: {why}")

    def say(self, entry: Entry, what: str) -> None:
        """Something is left to do about an entry that was taken over."""
        self.left_out.append(f"{self._file}:{entry.line}: {what}")
