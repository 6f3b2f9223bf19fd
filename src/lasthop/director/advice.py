"""What edits will not do by themselves, in sentences for whoever made them.

Owns those sentences. Whether an edit can be made is `lasthop.director.edits`' question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lasthop.model.edit import Administer, ServerEdit, ServiceEdit, Weigh
from lasthop.model.real_server import Admin
from lasthop.model.rule import ANY_REAL_SERVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lasthop.model.configuration import Configuration
    from lasthop.model.edit import Edit


def warnings_of(configuration: Configuration, edits: Sequence[Edit]) -> list[str]:
    """Sentences about what `edits` will not do by themselves."""
    return [
        *_unmarked(configuration, edits),
        *_weights_without_effect(configuration, edits),
        *_edited_backups(configuration, edits),
    ]


def _unmarked(configuration: Configuration, edits: Sequence[Edit]) -> list[str]:
    """About services that `edits` added and that no packet finds: they have no mark rule."""
    there = {ANY_REAL_SERVER} | {server.name for each in configuration.services for server in each.real_servers}
    marked = {
        rule.mark
        for rule in configuration.mark_rules
        if not rule.match.source_real_servers or there.intersection(rule.match.source_real_servers)
    }
    # What another service of the mark matches gets the mark too.
    marked |= {service.mark for service in configuration.services if service.matches and not service.family}
    leg = configuration.legs[0].name
    added = {edit.service for edit in edits if isinstance(edit, ServiceEdit) and edit.kind == "add_service"}
    return [
        f"service {service.label} gets no packets: no mark rule gives mark {service.mark}; add one, for instance: "
        f"lasthop mark add --protocol tcp --destination-port 80 --mark {service.mark} --leg {leg}"
        for service in configuration.services
        if service.label in added and service.mark and not service.matches and service.mark not in marked
    ]


def _weights_without_effect(configuration: Configuration, edits: Sequence[Edit]) -> list[str]:
    """About real servers that were given a weight and get no new connections all the same."""
    weighed = {edit.server for edit in edits if isinstance(edit, Weigh) and edit.weight}
    addressed = {
        (edit.service, edit.address)
        for edit in edits
        if isinstance(edit, ServerEdit) and edit.kind == "edit_server" and edit.weight
    }
    if not weighed and not addressed:
        return []
    names = {
        (server.name, server.admin)
        for service in configuration.services
        for server in service.real_servers
        if server.admin is not Admin.ENABLED
        and (server.name in weighed or (service.label, str(server.address)) in addressed)
    }
    return [
        f"real server {name} is {admin.value} and gets no new connections, whatever its weight; see: "
        f"lasthop enable {name}"
        for name, admin in sorted(names)
    ]


def _edited_backups(configuration: Configuration, edits: Sequence[Edit]) -> list[str]:
    """About backups that were given a weight, or are drained."""
    edited = {edit.server for edit in edits if isinstance(edit, Weigh)}
    edited |= {edit.server for edit in edits if isinstance(edit, Administer) and edit.kind == "drain"}
    primaries = {
        server.name: server.backup_of
        for service in configuration.services
        for server in service.real_servers
        if server.backup_of and server.name in edited
    }
    return [
        f"real server {name} is the backup of {primary}, and has that one's weight while it is in its place"
        for name, primary in sorted(primaries.items())
    ]
