"""Passive signals in a running director: what its data plane saw of each real server, handed to the judge.

Owns when that is looked at, and what is logged of it. What counts is `lasthop.health.passive`'s.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from lasthop.health.passive import SUFFIX, PassiveJudge, Seen
from lasthop.model.event import Kind, told
from lasthop.model.health import Health

if TYPE_CHECKING:
    from lasthop.director.director import Director
    from lasthop.model.event import Details
    from lasthop.model.health import HealthReport, Key, Known, Passive
    from lasthop.model.service import Service

_log = logging.getLogger(__name__)

#: Seconds between two looks.
EVERY_S = 2.0
#: Seconds in which a connection may be without an answer yet: the second SYN is sent after one (RFC 6298).
_PATIENCE_S = 3.0


class PassiveWatch:
    """Looks at a director's traffic for its real servers' health."""

    def __init__(self) -> None:
        self._judge = PassiveJudge()

    def known(self) -> dict[Key, Known]:
        """What is found of each, beside what its check finds."""
        return self._judge.known()

    def reports(self) -> list[HealthReport]:
        """Each as `lasthop health` shows it."""
        return self._judge.reports(time.monotonic())

    def look(self, director: Director) -> bool:
        """Look, if any service wants it. Returns whether that is so."""
        wanted = [(service, service.health.passive) for service in director.configuration.services if service.health]
        watched = [(service, passive) for service, passive in wanted if passive is not None]
        self._judge.keep({(service.label, server.name) for service, _ in watched for server in service.real_servers})
        if not watched or director.detached:
            return False
        before = self._judge.known()
        for service, passive in watched:
            self._judge.judge(service, _seen(director, service, passive), time.monotonic())
        for (label, name), known in self._judge.known().items():
            was = before.get((label, name))
            if was is not None and was.health is not known.health:
                self._tell(label.removesuffix(SUFFIX), name, known.health)
        return True

    def _tell(self, label: str, name: str, health: Health) -> None:
        beside: Details = {"service": label, "real_server": name, "check": "passive"}
        if health is Health.UP:
            _log.info("real server %s of %s is tried again", name, label, extra=told(Kind.SERVER_UP, **beside))
            return
        (problem,) = (each.last for each in self.reports() if (each.service, each.real_server) == (label, name))
        beside["problem"] = problem
        _log.warning("real server %s of %s is down: %s", name, label, problem, extra=told(Kind.SERVER_DOWN, **beside))


def _seen(director: Director, service: Service, passive: Passive) -> dict[Key, Seen]:
    opened = director.openings(passive.window, _PATIENCE_S)
    astray: Counter[str] = Counter()
    if passive.asymmetric:
        astray.update(each.expected for each in director.asymmetric() if each.ago_s <= passive.window)
    return {
        (service.label, server.name): Seen(*opened.get((service.label, server.name), (0, 0)), astray[server.name])
        for server in service.real_servers
    }
