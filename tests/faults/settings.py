"""What fault tests set on the directors of a topology, and the faults that they make. No tests here."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology

PATIENCE_S = 30
#: Whether everything is done as often as it shall be: takes minutes (make faults).
FULL = os.environ.get("LASTHOP_FAULTS") == "full"
INTERVAL_S, FALL, RISE = 0.5, 3, 2
PING = f'check = "ping"\ninterval = {INTERVAL_S}\ntimeout = {INTERVAL_S}\nrise = {RISE}\nfall = {FALL}\n'
_SCHEDULED = 'scheduler = "rr"\n'


def path_checks(lab: Topology) -> dict[str, str]:
    """Checks of the firewalls by way of the other side's own address behind them, by director."""
    targets = {
        place.name: next(iter(lab.layout.port(place.name, place.sides[0].leg_to_firewalls).addresses)).ip
        for place in lab.layout.directors
    }
    (outer, inner) = targets
    beyond = {outer: targets[inner], inner: targets[outer]}
    return {name: PING.replace('"ping"', '"path"') + f'target = "{target}"\n' for name, target in beyond.items()}


def configured(text: str, lines: str = "", check: str = "") -> str:
    """A director's file with `lines` and a health check in its services over firewalls."""
    health = f"\n[service.health]\n{check}" if check else ""
    return text.replace(_SCHEDULED, f"{_SCHEDULED}{lines}{health}")


def apply(lab: Topology, lines: str = "", checks: dict[str, str] | str = PING) -> None:
    """Have all directors run that; every real server is up afterwards."""
    for name, director in lab.directors.items():
        check = checks if isinstance(checks, str) else checks[name]
        director.client.apply(str(director.file), configured(director.file.read_text(), lines, check))
    for name in lab.layout.firewalls:
        wait_health(lab, name, "up")


def wait_health(lab: Topology, name: str, health: str) -> None:
    """Wait until every director's checks say so of a real server."""

    def said() -> set[str]:
        rows = [row for director in lab.directors.values() for row in director.client.health()]
        return {row["health"] for row in rows if row["real_server"] == name}

    assert wait_until(lambda: said() == {health}, timeout=PATIENCE_S), (name, said())


def cut(lab: Topology, *names: str) -> None:
    """Pull both cables of firewalls: for everybody else they are dead."""
    _switch(lab, names, "down")


@contextmanager
def mended(lab: Topology) -> Iterator[None]:
    """All cables are plugged in at the end of the block."""
    try:
        yield
    finally:
        _switch(lab, lab.layout.firewalls, "up")


def _switch(lab: Topology, names: tuple[str, ...], state: str) -> None:
    for name in names:
        for lan in ("outer", "inner"):
            lab.run("lan", "ip", "link", "set", f"{lan}-{name}", state)


def counted(lab: Topology, reason: str) -> int:
    """A counter's value, of all directors together."""
    rows = [row for director in lab.directors.values() for row in director.client.counters()]
    return sum(int(row["value"]) for row in rows if row["name"] == reason)
