"""What is known in a director at a moment: what is desired, what was published, what the table holds, what went wrong.

Owns that memory. Questions about it are `lasthop.director.answers`'; `lasthop.director.director` changes it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from lasthop.director.captures import Captures
from lasthop.director.drains import Drains
from lasthop.director.events import Events
from lasthop.errors import DirectorError, LasthopError
from lasthop.model.event import Kind, told
from lasthop.model.health import Effective
from lasthop.model.sweep import SweepReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lasthop.dataplane.interface import DataPlane, Probing, TableSize
    from lasthop.model.asymmetry import AsymmetricResponse
    from lasthop.model.configuration import Configuration
    from lasthop.model.health import HealthReport, Key
    from lasthop.policy.plan import Plan

#: Sweeps for those who ask may take this share of the director's time.
_SWEEP_SHARE = 0.05

_log = logging.getLogger(__name__)


class Knowledge:
    """A director as far as it remembers."""

    def __init__(self, configuration: Configuration, file: str, dataplane: DataPlane) -> None:
        self._configuration = configuration
        self._file = file
        self._dataplane = dataplane
        self._plan: Plan | None = None
        self._size: TableSize | None = None
        self._noted: dict[str, str] = {}
        """Problem by what it is about."""
        self._missing: frozenset[str] = frozenset()
        self._started = time.monotonic()
        self._drains = Drains()
        self._health = Effective()
        self.health_reports: Callable[[], list[HealthReport]] = list
        """What the health checks found."""
        self.happened = Events()
        """What happened lately, as far as it is listening."""
        self._captures = Captures(dataplane.inspection)
        self._swept_at = 0.0
        """When somebody's question was last answered by a sweep, and how long that took."""
        self._sweep_took_s = 0.0
        self._sweeps = SweepReport()
        self._sweep_so_far_s = 0.0
        self.detached = False
        """True once `detach` took the data plane out: the process has nothing left to do."""

    @property
    def configuration(self) -> Configuration:
        """What is desired now."""
        return self._configuration

    def openings(self, window_s: float, patience_s: float) -> dict[Key, tuple[int, int]]:
        """See Traffic.openings."""
        return self._live.traffic.openings(window_s, patience_s)

    def asymmetric(self) -> list[AsymmetricResponse]:
        """The newest responses that came from another real server than their requests went to."""
        return self._live.inspection.asymmetry().samples

    @property
    def stand_ins(self) -> Mapping[str, str]:
        """Name of each real server whose place its backup has, and the backup's."""
        return self._health.stand_ins

    def _freshened(self) -> TableSize:
        """Sweep, unless a sweep has just been: who asks often shall not take the director's time."""
        _, size = self._ready()
        began = time.monotonic()
        if began - self._swept_at >= self._sweep_took_s / _SWEEP_SHARE:
            self._size = size = self._live.sweep()
            self._swept_at = time.monotonic()
            self._sweep_took_s = self._swept_at - began
            self._swept(self._sweep_took_s, whole=True)
        return size

    def _swept(self, took_s: float, *, whole: bool) -> None:
        """Count a step of a sweep, which may be the last one of it."""
        self._sweep_so_far_s += took_s
        if whole:
            before, last_s = self._sweeps, self._sweep_so_far_s
            self._sweeps, self._sweep_so_far_s = SweepReport(before.sweeps + 1, before.busy_s + last_s, last_s), 0.0

    def _note(self, about: str, problem: str) -> None:
        before = self._noted.pop(about, "")
        if problem:
            self._noted[about] = problem
        if problem and problem != before:
            _log.error("%s", problem, extra=told(Kind.PROBLEM, about=about, problem=problem))
        if before and not problem:
            _log.info("mended: %s", before, extra=told(Kind.MENDED, about=about, problem=before))

    @property
    def probing(self) -> Probing:
        """Path probes in the data plane."""
        return self._live.probing

    @property
    def _live(self) -> DataPlane:
        """The data plane. Raises DirectorError after `detach`: its descriptors are closed, and may be others' now."""
        if self.detached:
            name = self._configuration.director.name
            raise DirectorError(
                f"director '{name}' has detached and is ending", "start it again with: lasthop run FILE"
            )
        return self._dataplane

    def _ready(self) -> tuple[Plan, TableSize]:
        if self._plan is None or self._size is None:
            raise LasthopError("the director has not started", "wait until it has published its configuration")
        return self._plan, self._size
