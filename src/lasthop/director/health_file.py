"""What a director's health checks found, kept for the process that comes after it.

Owns that file. It outlives the process, not the machine's run: it is in /run, and its times are of the monotonic clock.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from lasthop.model.health import Health

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_log = logging.getLogger(__name__)

#: (service label, real server)
Key = tuple[str, str]


class HealthFile:
    """The file of one director."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[Key, tuple[Health, float]]:
        """Who was down, and since when; nobody where that cannot be read."""
        try:
            down = json.loads(self._path.read_text())["down"]
            return {(str(service), str(name)): (Health.DOWN, float(since)) for service, name, since in down}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def write(self, health: Mapping[Key, tuple[Health, float]]) -> None:
        """Keep who is down. That it cannot is logged."""
        down = [[*key, since] for key, (said, since) in health.items() if said is Health.DOWN]
        draft = self._path.with_suffix(".part")
        try:
            draft.write_text(json.dumps({"down": down}))
            draft.replace(self._path)
        except OSError as error:
            _log.warning("can't keep %s: %s; after a restart all real servers count as up at first", self._path, error)
