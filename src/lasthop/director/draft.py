"""A configuration that edits are being made to.

Owns the working copy: services by label, real servers by address. What an edit means is `lasthop.director.edits`'.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from lasthop.model.rule import MarkRule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.model.configuration import Configuration
    from lasthop.model.real_server import Address, RealServer
    from lasthop.model.service import Service


class Draft:
    """A configuration, changed piece by piece; what is not changed stays the same object."""

    def __init__(self, configuration: Configuration) -> None:
        self._before = self.configuration = configuration
        """Everything but services and their real servers."""
        self.services: dict[str, Service] = {service.label: service for service in configuration.services}
        """By label; of a service in `_servers` the real servers are those there."""
        self._servers: dict[str, dict[Address, RealServer]] = {}
        self._taken: dict[str, set[str]] = {}

    def servers(self, label: str) -> dict[Address, RealServer]:
        """The real servers of a service by address, to be changed in place."""
        found = self._servers.get(label)
        if found is None:
            found = {server.address: server for server in self.services[label].real_servers}
            self._servers[label] = found
        return found

    def listed(self, label: str) -> Iterable[RealServer]:
        """The real servers of a service, to be read."""
        found = self._servers.get(label)
        return self.services[label].real_servers if found is None else found.values()

    def taken(self, label: str) -> set[str]:
        """The names that a service's real servers have. Whoever adds or removes one changes this too."""
        found = self._taken.get(label)
        if found is None:
            found = self._taken[label] = {server.name for server in self.listed(label)}
        return found

    def drop(self, label: str) -> None:
        """Remove a service. Its matches stay as mark rules: the marks of LVS are iptables' and outlive its services."""
        service = self.services.pop(label)
        rules = dict.fromkeys(self.configuration.mark_rules)
        rules |= dict.fromkeys(
            MarkRule(service.mark, replace(match, families=(service.family,)) if service.family else match)
            for match in service.matches
        )
        self.configuration = replace(self.configuration, mark_rules=tuple(rules))
        self._servers.pop(label, None)
        self._taken.pop(label, None)

    @cached_property
    def names(self) -> dict[Address, str]:
        """The name that an address has, or had before these edits. Whoever adds a real server notes its name here."""
        known: dict[Address, str] = {}
        for service in self._before.services:
            for server in service.real_servers:
                for address in (server.address, *server.other_addresses):
                    known.setdefault(address, server.name)
        return known

    def finished(self) -> Configuration:
        """The configuration with all changes."""
        services = []
        for label, service in self.services.items():
            servers = self._servers.get(label)
            listed = service.real_servers if servers is None else tuple(servers.values())
            services.append(service if listed == service.real_servers else replace(service, real_servers=listed))
        return replace(self.configuration, services=tuple(services))
