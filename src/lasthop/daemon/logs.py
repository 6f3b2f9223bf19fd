"""Where the director's log goes, and in what form: sentences or JSON to stderr, or records to systemd's journal.

Owns the choice and the form of a line. The journal's protocol is `lasthop.daemon.journald`'s.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_KEPT = ("time", "level", "message", "logger", "trace")


class Form(StrEnum):
    """How a log is written."""

    TEXT = "text"
    JSON = "json"
    JOURNALD = "journald"


def set_up(form: Form | None) -> None:
    """Have this process log in `form`; None: to the journal if that is what stderr is, else as text."""
    logging.basicConfig(level=logging.INFO, handlers=[_destination(form or _suitable(os.environ))], force=True)


def name_director(name: str) -> None:
    """From now on each record says whose it is."""

    def add(record: logging.LogRecord) -> bool:
        record.lasthop = {"director": name} | fields(record)
        return True

    for each in logging.getLogger().handlers:
        each.addFilter(add)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a record was given beside its sentence, as ``extra={"lasthop": {...}}``."""
    given: dict[str, Any] = getattr(record, "lasthop", {})
    return given


def stderr_is_journal(environment: Mapping[str, str]) -> bool:
    """Whether systemd connected stderr with the journal: JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line; fields of a record beside its sentence are beside it here."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        beside = {key: value for key, value in fields(record).items() if key not in _KEPT}
        return json.dumps(told | beside, default=str)


def _suitable(environment: Mapping[str, str]) -> Form:
    return Form.JOURNALD if stderr_is_journal(environment) else Form.TEXT


def _destination(form: Form) -> logging.Handler:
    if form is Form.JOURNALD:
        from lasthop.daemon.journald import Journald

        return Journald()
    stream = logging.StreamHandler()
    stream.setFormatter(JsonFormatter() if form is Form.JSON else logging.Formatter(_TEXT))
    return stream
