"""Keys of a health check that must fit its kind and each other.

Owns the checks within a ``[service.health]``, and of the keys beside it that are about health.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.config.document import Finding, Place, Table, tables, text
from lasthop.model.health import Check

if TYPE_CHECKING:
    from collections.abc import Iterator

_HTTP = frozenset({Check.HTTP, Check.HTTPS})
#: Key -> the kinds of check that it is for.
_FOR = {
    "port": frozenset({Check.TCP, Check.UDP, Check.DNS, Check.SCRIPT}) | _HTTP,
    "path": _HTTP,
    "host": _HTTP,
    "status": _HTTP,
    "body": _HTTP,
    "verify": frozenset({Check.HTTPS}),
    "name": frozenset({Check.DNS}),
    "record": frozenset({Check.DNS}),
    "send": frozenset({Check.UDP}),
    "expect": frozenset({Check.UDP}),
    "command": frozenset({Check.SCRIPT}),
    "weight_by_status": frozenset({Check.SCRIPT}),
}
_NEED_PORT = frozenset({Check.TCP, Check.UDP})
_DEFAULTS = {"interval": 2.0, "timeout": 1.0}


def health_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself in each service's health check."""
    for index, service in tables(document, "service"):
        place: Place = ("service", index)
        health = service.get("health")
        if isinstance(health, dict):
            yield from _check((*place, "health"), health)
        else:
            yield from _without(place, service)
        if "hysteresis" in service and not service.get("quorum"):
            yield Finding((*place, "hysteresis"), "is for a service with a quorum", "add quorum = 2, or leave it out")


def _without(place: Place, service: Table) -> Iterator[Finding]:
    for index, server in tables(service, "real_server"):
        if "health_target" in server:
            yield Finding(
                (*place, "real_server", index, "health_target"),
                "is for a service with a health check",
                'add [service.health] with check = "ping", or leave it out',
            )


def _check(place: Place, health: Table) -> Iterator[Finding]:
    named = text(health, "check")
    if named not in set(Check):
        return
    check = Check(named)
    for key, kinds in _FOR.items():
        if key in health and check not in kinds:
            names = " and ".join(sorted(kinds))
            yield Finding((*place, key), f"is for the checks {names}, and this one is {check}", "leave it out")
    if check in _NEED_PORT and "port" not in health:
        yield Finding((*place, "port"), "is missing", "add port = 22")
    if check is Check.PATH and "target" not in health:
        yield Finding(
            (*place, "target"),
            "is missing: a path leads to the director behind the real servers",
            'add target = "10.0.2.1", its address there',
        )
    if check is Check.SCRIPT and not health.get("command"):
        yield Finding((*place, "command"), "is missing", 'add command = ["/usr/local/bin/check-firewall"]')
    interval, timeout = (health.get(key, default) for key, default in _DEFAULTS.items())
    if isinstance(interval, int | float) and isinstance(timeout, int | float) and timeout > interval:
        yield Finding(
            (*place, "timeout"),
            f"is longer than the interval, {interval:g} s: a check would not be over when the next is due",
            f"give a timeout of at most {interval:g}, or a longer interval",
        )
