"""The director: the one owner of desired and observed state.

Owns the step observation -> plan -> publish and the reports of what is. Decisions are in
`lasthop.policy`, the kernel is behind `DataPlane`; `lasthop.director.watch` brings observations.
"""

from __future__ import annotations

import logging
import os
import platform
import time
from typing import TYPE_CHECKING

from lasthop import __version__
from lasthop.director.surroundings import surroundings_of
from lasthop.errors import DirectorError, LasthopError, NetworkError
from lasthop.model.leg import LegReport
from lasthop.model.real_server import ServerReport
from lasthop.model.service import ServiceReport
from lasthop.model.status import StatusReport
from lasthop.policy.compile import addresses_to_resolve, compile_plan
from lasthop.policy.refresh import refresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.dataplane.interface import DataPlane, Load, TableSize
    from lasthop.model.configuration import Configuration
    from lasthop.model.connection import ConnectionReport
    from lasthop.model.counter import CounterReport
    from lasthop.model.hop import HopReport
    from lasthop.model.real_server import Address
    from lasthop.network.interface import Observation
    from lasthop.policy.plan import Plan, PlannedServer

_log = logging.getLogger(__name__)


class Director:
    """Keeps a data plane as a configuration and the network say it shall be.

    `start` must succeed before anything else is called. Not thread-safe: one loop calls it.
    """

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
        self.detached = False
        """True once `detach` took the data plane out: the process has nothing left to do."""
        self.on_detached: Callable[[], None] = lambda: None
        """Called by `detach`."""

    def start(self, observation: Observation) -> None:
        """Publish for the first time. Raises LasthopError, and then all is as it was before."""
        try:
            self._reconcile(observation)
            self._size = self._live.sweep()
        except LasthopError:
            if not self._live.adopted:
                self._live.detach()
            raise

    def observed(self, observation: Observation) -> None:
        """Publish what follows from an observation. A problem is kept for `status` and logged once."""
        if self.detached:
            return
        try:
            self._reconcile(observation)
        except LasthopError as error:
            self._note("plan", str(error))
        else:
            self._note("plan", "")
        self._note("network", "")

    def not_observed(self, error: LasthopError) -> None:
        """The network could not be read: keep what is published, and say so."""
        self._note("network", str(error))

    def resolving(self, error: LasthopError | None) -> None:
        """The kernel was asked to resolve what is wanted, and refused with `error` or did not."""
        self._note("neighbours", str(error) if error else "")

    def wanted(self) -> frozenset[tuple[int, Address]]:
        """The (ifindex, address) pairs whose MAC addresses are needed."""
        return addresses_to_resolve(self._plan) if self._plan is not None else frozenset()

    def sweep(self) -> None:
        """Expire what is due and count what is left. Nothing is left after `detach`."""
        if self.detached:
            return
        self._size = self._live.sweep()

    def status(self) -> StatusReport:
        """See Operations.status."""
        self.sweep()
        plan, size = self._ready()
        unresolved = {server.name for service in plan.services for server in service.servers if server.mac is None}
        counters = self._live.counters()
        return StatusReport(
            director=self._configuration.director.name,
            version=__version__,
            pid=os.getpid(),
            uptime_s=round(time.monotonic() - self._started, 1),
            kernel=platform.release(),
            configuration=self._file,
            legs=len(plan.legs),
            legs_up=sum(leg.up for leg in plan.legs),
            services=len(plan.services),
            real_servers=len({server.name for service in plan.services for server in service.servers}),
            unresolved=sorted(unresolved),
            connections=size.connections,
            connections_max=size.maximum,
            assured=size.assured,
            hops=len(self._live.hops()),
            unexpected={counter.name: counter.value for counter in counters if counter.value and not counter.expected},
            problems=self._problems(plan, size),
        )

    def legs(self) -> list[LegReport]:
        """See Operations.legs."""
        plan, _ = self._ready()
        attached = {attachment.leg: attachment for attachment in self._live.attachments()}
        hops = [hop.leg for hop in self._live.hops()]
        return [
            LegReport(
                name=leg.name,
                interface=leg.interface,
                zone=leg.zone,
                mode=attached[leg.name].how if leg.name in attached else "",
                mac=leg.mac,
                mtu=leg.mtu,
                state="missing" if leg.interface in self._missing else "up" if leg.up else "down",
                xdp_transmit=leg.name in attached and attached[leg.name].xdp_transmit,
                hops=hops.count(leg.name),
            )
            for leg in plan.legs
        ]

    def services(self) -> list[ServiceReport]:
        """See Operations.services."""
        plan, _ = self._ready()
        load = self._live.load()
        reports = []
        for service in plan.services:
            loads = [load[key] for key in load if key[0] == service.label]
            reports.append(
                ServiceReport(
                    service=service.label,
                    scheduler=service.scheduler,
                    persistence_s=service.persistence_s,
                    when_empty=service.when_empty.value,
                    real_servers=len(service.servers),
                    usable=sum(server.effective_weight > 0 for server in service.servers),
                    active=sum(one.active for one in loads),
                    inactive=sum(one.inactive for one in loads),
                    persistent=sum(one.persistent for one in loads),
                )
            )
        return reports

    def servers(self) -> list[ServerReport]:
        """See Operations.servers."""
        plan, _ = self._ready()
        load = self._live.load()
        return [
            _server_report(service.label, server, load.get((service.label, server.name)))
            for service in plan.services
            for server in service.servers
        ]

    def connections(self) -> list[ConnectionReport]:
        """See Operations.connections."""
        return self._live.connections()

    def hops(self) -> list[HopReport]:
        """See Operations.hops."""
        return self._live.hops()

    def counters(self) -> list[CounterReport]:
        """See Operations.counters."""
        return self._live.counters()

    def detach(self) -> None:
        """See Operations.detach."""
        self._live.detach()
        self.detached = True
        self.on_detached()

    def close(self) -> None:
        """Let go; the data plane goes on forwarding."""
        if not self.detached:
            self._dataplane.close()

    def _reconcile(self, observation: Observation) -> None:
        surroundings = surroundings_of(observation)
        self._missing = frozenset(leg.interface for leg in self._configuration.legs) - surroundings.links.keys()
        try:
            plan = compile_plan(self._configuration, surroundings)
        except NetworkError:
            if self._plan is not None:
                self._publish(refresh(self._plan, surroundings))
            raise
        self._publish(plan)

    def _publish(self, plan: Plan) -> None:
        self._live.publish(plan)
        if self._plan is not None:
            _log_changes(self._plan, plan)
        self._plan = plan

    def _note(self, about: str, problem: str) -> None:
        before = self._noted.pop(about, "")
        if problem:
            self._noted[about] = problem
        if problem and problem != before:
            _log.error("%s", problem)
        if before and not problem:
            _log.info("mended: %s", before)

    def _problems(self, plan: Plan, size: TableSize) -> list[str]:
        problems = list(self._noted.values())
        problems += [f"leg {leg.name} ({leg.interface}) is down" for leg in plan.legs if not leg.up]
        problems += [
            f"service {service.label} has no usable real server; when_empty = {service.when_empty.value}"
            for service in plan.services
            if not any(server.usable for server in service.servers)
        ]
        problems += _shared_macs(plan)
        wanted = self._configuration.director.connections
        if size.maximum != wanted:
            problems.append(
                f"the table holds {size.maximum} connections, the file says {wanted}; it is resized by detach and run"
            )
        return problems

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


def _server_report(label: str, server: PlannedServer, load: Load | None) -> ServerReport:
    return ServerReport(
        name=server.name,
        service=label,
        address=str(server.address),
        weight=server.weight,
        effective_weight=server.effective_weight,
        health="unresolved" if server.mac is None else "up" if server.usable else "down",
        active=load.active if load else 0,
        inactive=load.inactive if load else 0,
        persistent=load.persistent if load else 0,
        leg=server.leg,
        mac=server.mac or "",
    )


def _shared_macs(plan: Plan) -> list[str]:
    """Real servers that cannot be told apart: somebody answers ARP for several of them."""
    names: dict[tuple[str, str], set[str]] = {}
    for service in plan.services:
        for server in service.servers:
            if server.mac is not None:
                names.setdefault((server.leg, server.mac), set()).add(server.name)
    return [
        f"real servers {', '.join(sorted(same))} have one MAC address, {mac} on leg {leg}: is it proxy ARP?"
        for (leg, mac), same in names.items()
        if len(same) > 1
    ]


def _log_changes(before: Plan, after: Plan) -> None:
    """One line for each leg and real server that changed in a way an operator cares about."""
    legs = {leg.name: leg.up for leg in before.legs}
    for leg in after.legs:
        if legs.get(leg.name, leg.up) != leg.up:
            _log.warning("leg %s (%s) is %s", leg.name, leg.interface, "up" if leg.up else "down")
    macs = {(service.label, server.name): server.mac for service in before.services for server in service.servers}
    for service in after.services:
        for server in service.servers:
            was = macs.get((service.label, server.name))
            if was != server.mac:
                _log.warning(
                    "real server %s of %s: MAC address %s, was %s",
                    server.name,
                    service.label,
                    server.mac or "unresolved",
                    was or "unresolved",
                )
