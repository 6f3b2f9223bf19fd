"""Health in a running director: whom to ask, and what the answers change.

Owns the loop that keeps the checks in step with the configuration.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lasthop.director.passive import EVERY_S as PASSIVE_S
from lasthop.director.passive import PassiveWatch
from lasthop.health.checker import Checker
from lasthop.health.probe import Asked
from lasthop.model.event import Kind, told
from lasthop.model.health import Check, Health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lasthop.director.director import Director
    from lasthop.director.health_file import HealthFile
    from lasthop.health.path import Paths
    from lasthop.health.probe import Probe
    from lasthop.model.configuration import Configuration
    from lasthop.model.health import Key, Known

_log = logging.getLogger(__name__)


def known_at_start(kept: HealthFile, configuration: Configuration) -> tuple[dict[Key, Known], dict[str, str]]:
    """What another process found, of those that are asked still, and whose backups had their places."""
    asked = {each.key for each in asked_by(configuration)}
    health, stand_ins = kept.read()
    return {key: known for key, known in health.items() if key in asked}, stand_ins


def asked_by(configuration: Configuration) -> list[Asked]:
    """Whom a configuration wants asked: every real server of each service that has a check."""
    return [
        Asked(
            service=service.label,
            real_server=server.name,
            server_address=server.address,
            address=server.health_target or service.health.target or server.address,
            port=service.health.port,
            how=service.health,
        )
        for service in configuration.services
        if service.health is not None
        for server in service.real_servers
    ]


class HealthWatch:
    """Asks a director's real servers, and tells it what it finds."""

    def __init__(self, probes: Mapping[Check, Probe], paths: Paths, kept: HealthFile) -> None:
        """`paths` sends the path probes."""
        self._probes = {**probes, Check.PATH: paths.probe}
        self._paths = paths
        self._kept = kept
        self._passive = PassiveWatch()
        self._woken = asyncio.Event()

    async def follow(self, director: Director) -> None:
        """Ask until cancelled. What `director` knows already holds until it is found to be otherwise."""
        known = director.health_of()
        checker = Checker(
            self._probes,
            lambda asked, health, problem: self._found(director, asked, health, problem),
            lambda asked, weight: self._weighed(director, asked, weight),
        )
        director.on_applied.append(self._woken.set)
        checker.follow(asked_by(director.configuration), known)
        director.health_of = lambda: {**checker.health(), **self._passive.known()}
        director.health_reports = lambda: [*checker.reports(), *self._passive.reports()]
        self._paths.way = director.way
        loop, descriptor = asyncio.get_running_loop(), director.probing.descriptor
        loop.add_reader(descriptor, self._came_back, director)
        try:
            while True:
                self._woken.clear()
                self._paths.port = director.configuration.director.probe_port
                checker.follow(asked_by(director.configuration))
                looking = self._passive.look(director)
                director.health_changed()
                self._kept.write(checker.health(), director.stand_ins)
                await self._sleep(director.next_change(), PASSIVE_S if looking else None)
        finally:
            loop.remove_reader(descriptor)
            director.on_applied.remove(self._woken.set)
            await checker.close()
            self._paths.close()

    def _came_back(self, director: Director) -> None:
        for answer in director.probing.answers():
            self._paths.answered(answer.nonce, answer.leg, answer.mac)

    async def _sleep(self, until: float | None, most: float | None) -> None:
        waits = [max(0.0, until - time.monotonic())] if until is not None else []
        waits += [most] if most is not None else []
        with suppress(TimeoutError):
            async with asyncio.timeout(min(waits, default=None)):
                await self._woken.wait()

    def _found(self, director: Director, asked: Asked, health: Health, problem: str) -> None:
        subject = f"real server {asked.real_server} of {asked.service}"
        check = asked.how.check.value
        if health is Health.DOWN:
            beside = told(
                Kind.SERVER_DOWN, service=asked.service, real_server=asked.real_server, check=check, problem=problem
            )
            _log.warning("%s is down: %s", subject, problem, extra=beside)
        else:
            beside = told(Kind.SERVER_UP, service=asked.service, real_server=asked.real_server, check=check)
            _log.info("%s is up", subject, extra=beside)
        director.health_changed()
        self._woken.set()

    def _weighed(self, director: Director, asked: Asked, weight: int | None) -> None:
        shown = "as configured" if weight is None else weight
        beside = told(Kind.SERVER_WEIGHED, service=asked.service, real_server=asked.real_server, weight=weight)
        _log.info(
            "real server %s of %s: its check says weight %s", asked.real_server, asked.service, shown, extra=beside
        )
        director.health_changed()
        self._woken.set()
