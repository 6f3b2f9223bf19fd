"""Metrics for Prometheus: a director's reports as samples.

Owns which report becomes which metric of `lasthop.api.metric_list`, and that hops which come and go do not make ever
new series. Reports are taken in the director's loop, which has its turn between them; writing them takes longer, and is
done beside it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Header, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from lasthop.api.metric_list import METRICS, Kind
from lasthop.model.access import DEFAULT_METRICS_HOPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastapi import FastAPI
    from prometheus_client import Metric as Family

    from lasthop.api.operations import Operations
    from lasthop.model.hop import HopReport
    from lasthop.model.real_server import ServerReport
    from lasthop.model.service import ServiceReport
    from lasthop.model.statistics import Statistics

#: The hop that stands for all of a leg that have no series of their own.
OTHERS = "others"
#: Reasons that begin so are counted beside the one that says what became of a packet.
EVENT = "event_"
#: Health of a real server that needs nobody.
_WELL = frozenset({"up", "standby"})

Sample = tuple[str, tuple[str, ...], float]
"""Name, values of the labels in the order of the list, value."""


@dataclass
class Surroundings:
    """What of the metrics is not the director's to know."""

    hops: int = DEFAULT_METRICS_HOPS
    """Of each leg, so many hops of nobody's have series of their own."""
    certificate_until: float | None = None
    """When the listener's certificate ends; None: there is no such listener."""


def parts(operations: Operations, around: Surroundings) -> Iterator[Iterable[Sample]]:
    """All that there is to tell, in parts none of which takes long."""
    yield _of_director(operations)
    yield _of_legs(operations)
    yield (sample for service in operations.services() for sample in _of_service(service))
    yield (sample for server in operations.servers() for sample in _of_server(server))
    yield _of_courses(operations)
    yield _of_hops(operations.hops(), around.hops)
    if around.certificate_until is not None:
        yield [("lasthop_api_certificate_expiry_timestamp_seconds", (), around.certificate_until)]


def samples(operations: Operations, around: Surroundings) -> list[Sample]:
    """All of it, now."""
    return [sample for part in parts(operations, around) for sample in part]


def _of_director(operations: Operations) -> Iterator[Sample]:
    status = operations.status()
    yield "lasthop_director_info", (status.director, status.version, status.kernel), 1
    yield "lasthop_problems", (), len(status.problems)
    yield "lasthop_table_capacity_connections", (), status.connections_max
    yield "lasthop_table_connections", (), status.connections
    yield "lasthop_table_unassured_connections", (), status.connections - status.assured
    yield "lasthop_sweep_duration_seconds", (str(status.sweep.sweeps),), status.sweep.busy_s
    yield "lasthop_sweep_last_duration_seconds", (), status.sweep.last_s
    yield "lasthop_asymmetric_responses_total", (), status.asymmetric.count
    for counter in operations.counters():
        kind = "expected" if counter.expected else "unexpected"
        name = "lasthop_events_total" if counter.name.startswith(EVENT) else "lasthop_packets_total"
        yield name, (counter.name, kind), counter.value


def _of_legs(operations: Operations) -> Iterator[Sample]:
    for leg in operations.legs():
        yield "lasthop_leg_info", (leg.name, leg.interface, leg.vlan or "", leg.zone, leg.mode, leg.mac), 1
        yield "lasthop_leg_up", (leg.name,), leg.state == "up"
        yield "lasthop_leg_mtu_bytes", (leg.name,), leg.mtu
        yield "lasthop_leg_hops", (leg.name,), leg.hops


def _of_service(service: ServiceReport) -> Iterator[Sample]:
    labels = (service.service,)
    yield from _of_traffic("lasthop_service", labels, service.statistics)
    yield "lasthop_service_connections", (*labels, "active"), service.active
    yield "lasthop_service_connections", (*labels, "inactive"), service.inactive
    yield "lasthop_service_templates", labels, service.persistent
    yield "lasthop_service_real_servers", labels, service.real_servers
    yield "lasthop_service_usable_real_servers", labels, service.usable
    yield "lasthop_service_quorum_met", labels, not service.below_quorum


def _of_server(server: ServerReport) -> Iterator[Sample]:
    labels = (server.service, server.name)
    yield "lasthop_real_server_up", labels, server.health in _WELL
    yield "lasthop_real_server_enabled", labels, server.admin == "enabled"
    yield "lasthop_real_server_overloaded", labels, server.overloaded
    yield "lasthop_real_server_weight", labels, server.weight
    yield "lasthop_real_server_effective_weight", labels, server.effective_weight
    yield from _of_traffic("lasthop_real_server", labels, server.statistics)
    yield "lasthop_real_server_connections", (*labels, "active"), server.active
    yield "lasthop_real_server_connections", (*labels, "inactive"), server.inactive
    yield "lasthop_real_server_templates", labels, server.persistent


def _of_traffic(whose: str, labels: tuple[str, ...], statistics: Statistics) -> Iterator[Sample]:
    packets, octets = statistics.packets, statistics.bytes
    yield f"{whose}_packets_total", (*labels, "request"), packets.request
    yield f"{whose}_packets_total", (*labels, "response"), packets.response
    yield f"{whose}_bytes_total", (*labels, "request"), octets.request
    yield f"{whose}_bytes_total", (*labels, "response"), octets.response
    yield f"{whose}_scheduled_connections_total", labels, statistics.connections


def _of_courses(operations: Operations) -> Iterator[Sample]:
    for check in operations.health():
        labels = (check.service, check.real_server, check.check)
        yield "lasthop_health_check_up", labels, check.health != "down"
        if check.last_s is not None:
            yield "lasthop_health_check_last_duration_seconds", labels, check.last_s
        yield "lasthop_health_checks_total", (*labels, "answer"), check.answers
        yield "lasthop_health_checks_total", (*labels, "failure"), check.failures
    for drain in operations.drains():
        drained = (drain.service, drain.real_server)
        yield "lasthop_drain_remaining_connections", drained, drain.remaining
        if drain.deadline_s is not None:
            yield "lasthop_drain_deadline_seconds", drained, drain.deadline_s


def _of_hops(hops: list[HopReport], most: int) -> Iterator[Sample]:
    """A hop is called by what stays when it moves: the real server it is, or else its address; else its MAC address."""
    connections: dict[tuple[str, str], int] = defaultdict(int)
    moves: dict[tuple[str, str], int] = defaultdict(int)
    strangers: dict[str, int] = defaultdict(int)
    told: set[tuple[str, str]] = set()
    for hop in hops:
        name = hop.name or hop.address or hop.mac
        if not hop.name and hop.role != "gateway":
            strangers[hop.leg] += 1
            if strangers[hop.leg] > most:
                name = OTHERS
        key = (hop.leg, name)
        connections[key] += hop.connections
        moves[key] += hop.moved
        if name != OTHERS and key not in told:
            told.add(key)
            yield "lasthop_hop_info", (*key, hop.mac, hop.role), 1
    for key, number in connections.items():
        yield "lasthop_hop_connections", key, number
        yield "lasthop_hop_moves_total", key, moves[key]


class Told(Collector):
    """Samples, as the client library takes them."""

    def __init__(self, given: list[Sample]) -> None:
        self._given = given

    def collect(self) -> Iterator[Family]:
        """One family for each metric that has a sample, in the list's order."""
        by_name: dict[str, list[tuple[tuple[str, ...], float]]] = {}
        for name, labels, value in self._given:
            by_name.setdefault(name, []).append((labels, value))
        for metric in METRICS:
            found = by_name.get(metric.name, [])
            if metric.kind is Kind.SUMMARY:
                ((sweeps,), busy), *_ = found
                yield SummaryMetricFamily(metric.name, metric.help, count_value=int(sweeps), sum_value=busy)
            elif metric.kind is Kind.INFO:
                info = InfoMetricFamily(metric.name.removesuffix("_info"), metric.help)
                for labels, _ in found:
                    info.add_metric([], dict(zip(metric.labels, labels, strict=True)))
                yield info
            elif found:
                made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
                family = made(metric.name, metric.help, labels=metric.labels)
                for labels, value in found:
                    family.add_metric(labels, value)
                yield family


def written(given: list[Sample], accept: str) -> tuple[bytes, str]:
    """The samples and those of this process, in the format that `accept` asks for, and that format's name."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told(given))
    ProcessCollector(namespace="lasthop", registry=registry)
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def add_metrics(app: FastAPI, operations: Operations, around: Surroundings) -> None:
    """Let `app` answer on /metrics."""
    writing = asyncio.Lock()

    @app.get(
        "/metrics",
        summary="Metrics for Prometheus, as text or in OpenMetrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
    )
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        async with writing:
            given: list[Sample] = []
            for part in parts(operations, around):
                given.extend(part)
                await asyncio.sleep(0)
            body, kind = await asyncio.to_thread(written, given, accept)
        return Response(body, media_type=None, headers={"Content-Type": kind})
