"""Backups of real servers: whose they are, and what they have from those.

Owns the checks of ``backup_of``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.config.document import Finding, Place, Table, known_words, tables, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What a backup has from the real server whose place it takes.
_INHERITED = ("weight", "upper_threshold", "lower_threshold", "drain_until")


def backup_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself about backups, within a service and between services."""
    said: dict[str, tuple[int, str]] = {}
    for index, service in tables(document, "service"):
        names = {
            name: text(server, "backup_of") for _, server in tables(service, "real_server") if (name := _name(server))
        }
        taken: dict[str, str] = {}
        for server_index, server in tables(service, "real_server"):
            place: Place = ("service", index, "real_server", server_index)
            name, primary = _name(server), text(server, "backup_of")
            before = said.setdefault(name, (index, primary or "")) if name else (index, primary or "")
            if before[1] != (primary or ""):
                yield Finding(
                    (*place, "backup_of" if primary else "name"),
                    f"is {_told(primary)}, and in service[{before[0]}] it is {_told(before[1])}",
                    "a name is one box: say the same in every service",
                )
            if primary:
                yield from _backup(place, server, primary, names, taken)


def _backup(
    place: Place, server: Table, primary: str, names: Mapping[str, str | None], taken: dict[str, str]
) -> Iterator[Finding]:
    name = _name(server)
    where: Place = (*place, "backup_of")
    if primary == name:
        yield Finding(where, "is the real server itself", "name the one whose place it takes")
    elif primary not in names:
        yield Finding(where, "is no real server of this service", known_words(primary, [n for n in names if n != name]))
    elif names[primary]:
        yield Finding(where, f"is a backup itself, of {names[primary]}", "a backup has none: name another real server")
    elif taken.setdefault(primary, name) != name:
        yield Finding(where, f"has a backup already, {taken[primary]}", "a real server has one backup")
    for key in _INHERITED:
        if key in server:
            yield Finding((*place, key), f"is for a backup that of {primary}", "leave it out")
    if server.get("admin") == "drained":
        yield Finding(
            (*place, "admin"),
            "is for who gets connections of its own, and this is a backup",
            f"drain {primary} instead",
        )


def _name(server: Table) -> str:
    return text(server, "name") or ""


def _told(primary: str | None) -> str:
    return f"the backup of {primary}" if primary else "nobody's backup"
