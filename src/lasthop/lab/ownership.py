"""Ownership: who built which topology, so that nothing of a crashed run stays behind.

Owns the records in /run/lasthop-lab. Only what a record names is ever removed, and only when the
process that wrote it is gone.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lasthop.lab import namespace

RECORDS = Path("/run/lasthop-lab")
PREFIX = "lh-"
_PINS = Path("/sys/fs/bpf/lasthop")
_SOCKETS = Path("/run/lasthop")
_STATES = Path("/var/lib/lasthop")


@dataclass(slots=True)
class Record:
    """What one topology consists of, on the host."""

    suffix: str
    pid: int = field(default_factory=os.getpid)
    started: str = ""
    """Start time of the owner, so that a reused pid is not taken for it."""
    kept: bool = False
    """Left running on purpose: only an explicit clean removes it."""
    namespaces: list[str] = field(default_factory=list)
    directors: list[str] = field(default_factory=list)
    folder: str = ""

    def __post_init__(self) -> None:
        self.started = self.started or _start_time(self.pid)

    @property
    def abandoned(self) -> bool:
        """Whether its owner is dead."""
        return not self.started or _start_time(self.pid) != self.started

    def write(self) -> None:
        """Note it down, before anything of it exists."""
        RECORDS.mkdir(parents=True, exist_ok=True)
        draft = RECORDS / f".{self.suffix}"
        draft.write_text(json.dumps(asdict(self)))
        draft.rename(RECORDS / f"{self.suffix}.json")

    def remove(self) -> None:
        """Remove everything it names, whatever is left of it, then the record."""
        namespace.delete(name for name in self.namespaces if name.startswith(PREFIX))
        for name in self.directors:
            if not name.endswith(f"-{self.suffix}"):
                continue
            shutil.rmtree(_PINS / name, ignore_errors=True)
            for file in (_SOCKETS / f"{name}.sock", _SOCKETS / f"{name}.lock", _STATES / f"{name}.json"):
                file.unlink(missing_ok=True)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        (RECORDS / f"{self.suffix}.json").unlink(missing_ok=True)


def records() -> list[Record]:
    """All topologies on this host, by suffix."""
    found = []
    for file in sorted(RECORDS.glob("*.json")):
        # Another run may be removing its own record, or may be of another release.
        with suppress(OSError, ValueError, TypeError):
            found.append(Record(**json.loads(file.read_text())))
    return found


def unused_suffix() -> str:
    """Four hexadecimal digits that no topology on this host has."""
    used = {record.suffix for record in records()}
    return next(suffix for suffix in iter(lambda: secrets.token_hex(2), "") if suffix not in used)


def remove_abandoned(*, kept: bool) -> list[str]:
    """Remove topologies whose owner is dead, those kept on purpose only with `kept`; return their suffixes."""
    removed = []
    for record in records():
        if record.abandoned and (kept or not record.kept):
            record.remove()
            removed.append(record.suffix)
    return removed


def _start_time(pid: int) -> str:
    """Field 22 of /proc/PID/stat; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
