"""The data plane in memory: it holds what is published, and connections that are put into it.

For tests and for trying a configuration without touching a machine; it forwards nothing and expires nothing
by itself. `tests/contract/test_dataplane.py` runs the same tests on it and on the kernel's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lasthop.dataplane.fake_hops import FakeHops
from lasthop.dataplane.fake_inspection import FakeInspection
from lasthop.dataplane.fake_probing import FakeProbing
from lasthop.dataplane.fake_traffic import FakeTraffic
from lasthop.dataplane.interface import Altered, Attachment, Load, Resizing, TableSize
from lasthop.dataplane.reasons import REASONS
from lasthop.errors import DataPlaneError
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.counter import CounterReport
from lasthop.model.director import DEFAULT_CONNECTIONS, State
from lasthop.model.leg import Mode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lasthop.model.connection_query import ConnectionPage, ConnectionQuery
    from lasthop.model.hop import HopReport
    from lasthop.policy.plan import Plan, PlannedLeg, PlannedServer

#: States that LVS counts as active: tcp_states_active in net/netfilter/ipvs/ip_vs_proto_tcp.c.
_ACTIVE = frozenset({State.ESTABLISHED, State.SYN_SENT, State.SYN_RECV, State.SYNACK, State.SCTP_ESTABLISHED})
_CLOSED = frozenset({State.TIME_WAIT, State.CLOSE, State.SCTP_CLOSED, State.SCTP_REJECTED})
_HOW = {Mode.XDP: "xdp+tc"}

#: (service label, real server)
ServerKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Connection:
    report: ConnectionReport
    forward_hop: int
    last_hop: int

    @property
    def server(self) -> ServerKey:
        return self.report.service, self.report.real_server


@dataclass(slots=True)
class Pinned:
    """What stays when a data plane is closed: give it to the next `FakeDataPlane`, which adopts it."""

    plan: Plan | None = None
    maximum: int = 0
    resizing: Resizing | None = None
    to_move: int = 0
    """Connections there were when the resize began: later ones need no moving."""
    hops: FakeHops = field(default_factory=FakeHops)
    servers: dict[ServerKey, int] = field(default_factory=dict)
    """Real servers with the hop of each (0: its MAC address was never known), retired ones included."""
    connections: list[_Connection] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """Reason, such as ``drop_loop`` -> packets that went the way they did for it."""


class FakeDataPlane:
    """See `interface.DataPlane`; `open` and `expire` are what packets and time do to it, beside `Pinned.counts`."""

    def __init__(self, connections: int = DEFAULT_CONNECTIONS, pinned: Pinned | None = None) -> None:
        """Adopt `pinned`, or begin with nothing and room for `connections`."""
        self.pinned = pinned if pinned is not None else Pinned()
        self.adopted = self.pinned.plan is not None
        if not self.adopted:
            self.pinned.maximum = connections
        self.without_xdp: set[str] = set()
        """Interfaces whose driver has no native XDP."""
        self.refusal: DataPlaneError | None = None
        """Raised by `publish` while it is set."""
        self.resizing = self.pinned.resizing
        """See DataPlane.resizing."""
        self.traffic = FakeTraffic(lambda: [each.report for each in self.pinned.connections])
        """See DataPlane.traffic."""
        self.inspection = FakeInspection(lambda: self.pinned.plan, self._reports)
        """See DataPlane.inspection."""
        self.probing = FakeProbing()
        """See DataPlane.probing."""
        self.altered: list[Altered] = []
        """What somebody else changed."""
        self.closed = False
        self._condemned: set[int] = set()

    # What a director does.

    def publish(self, plan: Plan) -> None:
        """See DataPlane.publish."""
        if self.refusal is not None:
            raise self.refusal
        for leg in plan.legs:
            self._require_xdp(leg)
        self.pinned.hops.drop_legs({leg.name for leg in plan.legs})
        planned = {(service.label, server.name): server for service in plan.services for server in service.servers}
        for key, server in planned.items():
            self.pinned.servers[key] = self.pinned.hops.resolve(self.pinned.servers.get(key, 0), server)
        self._forget(planned)
        self.pinned.hops.follow(plan)
        self.pinned.plan = plan

    def read_back(self) -> Iterator[Altered]:
        """See DataPlane.read_back."""
        while self.altered:
            yield self.altered.pop(0)

    def attachments(self) -> list[Attachment]:
        """See DataPlane.attachments."""
        legs = self.pinned.plan.legs if self.pinned.plan else ()
        how = {leg.name: "tc" if leg.strips_tags else _HOW.get(leg.mode, "tc") for leg in legs}
        return [Attachment(leg.name, how[leg.name], xdp_transmit=leg.up and how[leg.name] != "tc") for leg in legs]

    def sweep(self) -> TableSize:
        """See DataPlane.sweep. A hop that was learned goes after two sweeps without a connection."""
        used = {id_ for each in self.pinned.connections for id_ in (each.forward_hop, each.last_hop)}
        hops = self.pinned.hops
        unused = hops.by_id.keys() - used - set(self.pinned.servers.values()) - hops.kept()
        for id_ in unused & self._condemned:
            del hops.by_id[id_]
        self._condemned = unused
        assured = sum(each.report.assured for each in self.pinned.connections)
        return TableSize(len(self.pinned.connections), assured, self.pinned.maximum)

    def sweep_step(self) -> TableSize | None:
        """See DataPlane.sweep_step: all is one piece."""
        return self.sweep()

    def resize(self, connections: int) -> None:
        """See DataPlane.resize."""
        under_way = self.pinned.resizing
        if under_way is not None:
            raise DataPlaneError(
                f"can't resize the table to {connections} connections: it is being resized to {under_way.after}",
                "try again when that is done; see `lasthop status`",
            )
        if connections != self.pinned.maximum:
            self.resizing = self.pinned.resizing = Resizing(self.pinned.maximum, connections, 0, 0)
            self.pinned.to_move = len(self.pinned.connections)

    def resize_step(self) -> Resizing | None:
        """See DataPlane.resize_step. Each moves up to two connections."""
        under_way = self.pinned.resizing
        if under_way is None:
            return None
        if under_way.moved < self.pinned.to_move:
            self.pinned.resizing = replace(under_way, moved=min(under_way.moved + 2, self.pinned.to_move))
        else:
            self.pinned.maximum, self.pinned.resizing = under_way.after, None
        self.resizing = self.pinned.resizing
        return self.resizing

    def load(self, of: Collection[ServerKey] | None = None) -> dict[ServerKey, Load]:
        """See DataPlane.load."""
        states: dict[ServerKey, list[State]] = {key: [] for key in self.pinned.servers}
        for each in self.pinned.connections:
            states[each.server].append(State[each.report.state])
        return {
            key: Load(
                sum(state in _ACTIVE for state in found),
                sum(state not in _ACTIVE for state in found),
                0,
                closed=sum(state in _CLOSED for state in found),
            )
            for key, found in states.items()
            if of is None or key in of
        }

    def connections(self, query: ConnectionQuery) -> ConnectionPage:
        """See DataPlane.connections."""
        return query.answer(self._reports())

    def hops(self) -> list[HopReport]:
        """See DataPlane.hops."""
        using = Counter(id_ for each in self.pinned.connections for id_ in (each.forward_hop, each.last_hop))
        return self.pinned.hops.reports(using)

    def counters(self) -> list[CounterReport]:
        """See DataPlane.counters."""
        return [
            CounterReport(name.lower(), reason.sentence, reason.expected, self.pinned.counts[name.lower()])
            for name, reason in REASONS.items()
        ]

    def detach(self, *, closed: bool = False) -> None:  # noqa: ARG002 -- it has no legs that packets could cross
        """See DataPlane.detach."""
        self.pinned = Pinned(maximum=self.pinned.maximum)
        self.close()

    def close(self) -> None:
        """See DataPlane.close."""
        self.probing.close()
        self.closed = True

    # What happens in the world.

    def open(
        self,
        server: ServerKey,
        came_from: tuple[str, str],
        source: tuple[str, int],
        destination: tuple[str, int],
        state: State = State.ESTABLISHED,
        protocol: str = "",
    ) -> None:
        """A connection is opened by a frame from (leg, MAC) `came_from` and given to `server`, which must be resolved.

        Of the protocol whose state it is, or of `protocol` where that has none. Assured once it is ESTABLISHED.
        """
        legs = self.pinned.plan.legs if self.pinned.plan else ()
        nowhere = HopName("", "", None, "")
        report = ConnectionReport(
            zone=next(leg.zone for leg in legs if leg.name == came_from[0]),
            protocol=protocol or _protocol_of(state),
            source=source[0],
            source_port=source[1],
            destination=destination[0],
            destination_port=destination[1],
            state=state.name,
            assured=state in {State.ESTABLISHED, State.SCTP_ESTABLISHED},
            service=server[0],
            real_server=server[1],
            forward_hop=nowhere,
            last_hop=nowhere,
            packets=EachWay(1, 0),
            bytes=EachWay(40, 0),
            age_s=0,
            idle_s=0,
            expires_s=self.pinned.plan.timeouts.seconds[state] if self.pinned.plan else 0,
        )
        last_hop = self.pinned.hops.learned(*came_from)
        self.pinned.connections.append(_Connection(report, self.pinned.servers[server], last_hop))
        self.pinned.counts["forwarded_opening"] += 1

    def expire(self) -> None:
        """Every connection's time-out is over."""
        self.pinned.counts["event_expired"] += len(self.pinned.connections)
        self.pinned.connections.clear()

    def _reports(self) -> list[ConnectionReport]:
        name = self.pinned.hops.name
        return [
            replace(each.report, forward_hop=name(each.forward_hop), last_hop=name(each.last_hop))
            for each in self.pinned.connections
        ]

    def _require_xdp(self, leg: PlannedLeg) -> None:
        if leg.mode is Mode.XDP and leg.interface in self.without_xdp:
            raise DataPlaneError(
                f"can't attach to leg {leg.name!r} ({leg.interface}): driver has no native XDP",
                'set mode = "tc" on this leg',
            )

    def _forget(self, planned: dict[ServerKey, PlannedServer]) -> None:
        """Drop the real servers that are out of the plan and have no connections."""
        serving = {each.server for each in self.pinned.connections}
        for key in self.pinned.servers.keys() - planned.keys() - serving:
            del self.pinned.servers[key]
        self.pinned.hops.forget_names({name for _, name in self.pinned.servers})


def _protocol_of(state: State) -> str:
    if state <= State.SYNACK:
        return "tcp"
    return state.name.partition("_")[0].lower()
