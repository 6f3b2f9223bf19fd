"""The account of a run: which tests of this folder have ended, and which reasons they saw counted.

Owns what several processes of one run tell each other of that: each writes a file, a line per test that ended.
Must not be here: which reasons there must be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Account:
    """What is known of the tests of every process."""

    ended: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)


class Ledger:
    """The entries of one process in the folder of its run."""

    def __init__(self, folder: Path, process: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._file = folder / process
        self._failed: set[str] = set()
        self._told: set[str] = set()

    def note_failure(self, test: str) -> None:
        """One of the test's phases failed."""
        self._failed.add(test)

    def note_end(self, test: str, reached: set[str]) -> None:
        """The test has ended; `reached` is what this process has seen counted so far."""
        line = json.dumps([test, test in self._failed, sorted(reached - self._told)])
        self._told |= reached
        with self._file.open("a") as file:
            file.write(f"{line}\n")

    def read(self) -> Account:
        """What all processes of the run have noted until now."""
        account = Account()
        for file in self._folder.iterdir():
            for line in file.read_text().splitlines(keepends=True):
                if not line.endswith("\n"):
                    break
                test, failed, reached = json.loads(line)
                account.ended.add(test)
                account.reached.update(reached)
                if failed:
                    account.failed.add(test)
        return account
