"""What a director's health checks found, kept for the process that comes after it.

Owns that file. It outlives the process, not the machine's run: it is in /run, and its times are of the monotonic clock.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from lasthop.model.health import Health, Known

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lasthop.model.health import Key

_log = logging.getLogger(__name__)

_ROWS = TypeAdapter(list[tuple[str, str, Known]])
_NAMES = TypeAdapter(dict[str, str])


class HealthFile:
    """The file of one director."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[dict[Key, Known], dict[str, str]]:
        """What was known, and whose backups had their places; nothing where that cannot be read."""
        try:
            kept = json.loads(self._path.read_text())
            rows, stand_ins = _ROWS.validate_python(kept["known"]), _NAMES.validate_python(kept["stand_ins"])
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return {}, {}
        return {(service, name): known for service, name, known in rows}, stand_ins

    def write(self, health: Mapping[Key, Known], stand_ins: Mapping[str, str]) -> None:
        """Keep what another process would not find at once. That it cannot is logged."""
        notable = [
            (*key, known)
            for key, known in health.items()
            if known.health is Health.DOWN or known.risen is not None or known.weight is not None
        ]
        draft = self._path.with_suffix(".part")
        try:
            draft.write_text(json.dumps({"known": notable, "stand_ins": dict(stand_ins)}))
            draft.replace(self._path)
        except OSError as error:
            _log.warning("can't keep %s: %s; after a restart all real servers count as up at first", self._path, error)
