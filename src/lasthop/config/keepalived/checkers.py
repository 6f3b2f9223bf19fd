"""keepalived's checkers as health checks: a service of lasthop's has one, for all its real servers.

Owns their keywords. A real server's own ``connect_ip`` becomes its ``health_target``.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from lasthop.model.health import DEFAULT_PORTS, Check, HealthCheck

if TYPE_CHECKING:
    from lasthop.config.keepalived.notes import Notes
    from lasthop.config.keepalived.syntax import Entry
    from lasthop.model.real_server import Address

_KINDS = {
    "TCP_CHECK": Check.TCP,
    "HTTP_GET": Check.HTTP,
    "SSL_GET": Check.HTTPS,
    "PING_CHECK": Check.PING,
    "UDP_CHECK": Check.UDP,
    "DNS_CHECK": Check.DNS,
    "MISC_CHECK": Check.SCRIPT,
}
#: Seconds; keepalived's own where it says so in keepalived.conf(5).
_TIMEOUT = 5.0
_SHORTEST, _LONGEST = 0.1, 3600.0
_MOST_IN_A_ROW = 100
_WEB = frozenset({Check.HTTP, Check.HTTPS})
#: (keyword, kind) -> the field that takes its text.
_TEXTS = {
    ("virtualhost", Check.HTTP): "host",
    ("virtualhost", Check.HTTPS): "host",
    ("name", Check.DNS): "name",
    ("type", Check.DNS): "record",
}


def checked(
    entry: Entry, before: HealthCheck | None, interval: float, server: Entry, notes: Notes
) -> tuple[HealthCheck | None, Address | None]:
    """The service's check after an entry of a real server, and whom it asks for that real server, if it says so."""
    kind = _KINDS.get(entry.keyword)
    if kind is None:
        notes.leave(entry, "lasthop has nothing like it")
        return before, None
    made, target = _read(entry, kind, min(max(interval, _SHORTEST), _LONGEST), server, notes)
    if made.check in {Check.TCP, Check.UDP} and not made.port:
        notes.leave(entry, "has no port to ask")
        return before, None
    if made.check is Check.SCRIPT and not made.command:
        notes.leave(entry, "has no misc_path")
        return before, None
    if before is None or before == made:
        return made, target
    notes.leave(entry, f"a service has one check for all its real servers, and this one has {before.check} already")
    return before, None


def _read(
    entry: Entry, kind: Check, interval: float, server: Entry, notes: Notes
) -> tuple[HealthCheck, Address | None]:
    port = int(server.rest[1]) if len(server.rest) > 1 and server.rest[1].isdecimal() else 0
    made = HealthCheck(
        kind,
        port=(port or DEFAULT_PORTS.get(kind, 0)) if kind not in {Check.PING, Check.SCRIPT} else 0,
        interval=interval,
        timeout=min(_TIMEOUT, interval),
        rise=1,
        fall=1,
    )
    target: Address | None = None
    for each in entry.inner or ():
        value = each.rest[0] if each.rest else ""
        if each.keyword == "connect_ip":
            target = _address(each, value, notes)
        elif each.keyword == "url" and kind in _WEB:
            made = _url(each, made, notes)
        else:
            changed = _changed(each, value, made)
            if changed is None:
                notes.leave(each, f"the check {kind} of lasthop has nothing like it")
            made = changed or made
    return made, target


def _changed(entry: Entry, value: str, made: HealthCheck) -> HealthCheck | None:
    """The check after one keyword, None for one that it does not have."""
    keyword, kind = entry.keyword, made.check
    if keyword in {"connect_timeout", "misc_timeout", "delay_loop"} and _is_number(value):
        seconds = min(max(float(value), _SHORTEST), _LONGEST)
        if keyword == "delay_loop":
            return replace(made, interval=seconds, timeout=min(made.timeout, seconds))
        return replace(made, timeout=min(seconds, made.interval))
    if keyword in {"retry", "nb_get_retry"} and value.isdecimal():
        return replace(made, fall=min(int(value) + 1, _MOST_IN_A_ROW))
    if keyword == "connect_port" and value.isdecimal():
        return replace(made, port=int(value))
    if keyword == "misc_path" and kind is Check.SCRIPT:
        return replace(made, command=tuple(shlex.split(" ".join(entry.rest))))
    text: str | None = _TEXTS.get((keyword, kind))
    changes: dict[str, Any] = {} if text is None else {text: value.upper() if text == "record" else value}
    if keyword == "misc_dynamic" and kind is Check.SCRIPT:
        changes["weight_by_status"] = True
    return replace(made, **changes) if changes else None


def _url(entry: Entry, made: HealthCheck, notes: Notes) -> HealthCheck:
    for each in entry.inner or ():
        value = each.rest[0] if each.rest else ""
        match each.keyword:
            case "path":
                made = replace(made, path=value)
            case "status_code":
                made = replace(made, status=tuple(_statuses(each.rest)) or made.status)
            case "virtualhost":
                made = replace(made, host=value)
            case "regex":
                made = replace(made, body=value)
            case _:
                notes.leave(each, "lasthop compares status and body alone")
    return made


def _statuses(words: list[str]) -> list[tuple[int, int]]:
    """keepalived: single codes and ranges, ``200-299``."""
    ranges = []
    for word in words:
        first, _, last = word.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            ranges.append((int(first), int(last or first)))
    return ranges


def _address(entry: Entry, text: str, notes: Notes) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        notes.leave(entry, "is no address")
        return None


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()
