"""The metrics of /metrics: their names, kinds, labels, and what they are.

Owns the list, from which help texts and docs/metrics.md come. Values are `lasthop.api.metrics`'. Names and units are
by Prometheus's conventions: base units, ``_total`` for what only grows, ``_info`` for what is told in labels.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """A metric's type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    INFO = "info"
    SUMMARY = "summary"


class Metric(NamedTuple):
    """One family."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


_OF_SERVICE = ("service",)
_OF_SERVER = ("service", "real_server")
_OF_CHECK = (*_OF_SERVER, "check")
_OF_HOP = ("leg", "hop")
_WAY = "direction"

METRICS = (
    Metric("lasthop_director_info", Kind.INFO, ("director", "version", "kernel"), "The director: always 1."),
    Metric("lasthop_problems", Kind.GAUGE, (), "Problems that lasthop status shows."),
    Metric(
        "lasthop_api_certificate_expiry_timestamp_seconds",
        Kind.GAUGE,
        (),
        "When the certificate of the API's TCP listener ends; 0 if it is not valid now.",
    ),
    Metric("lasthop_table_capacity_connections", Kind.GAUGE, (), "Connections that the table is made for."),
    Metric("lasthop_table_connections", Kind.GAUGE, (), "Live connections in the table."),
    Metric("lasthop_table_unassured_connections", Kind.GAUGE, (), "Those that were not answered yet."),
    Metric("lasthop_sweep_duration_seconds", Kind.SUMMARY, (), "Time that sweeps of the table took."),
    Metric("lasthop_sweep_last_duration_seconds", Kind.GAUGE, (), "Time that the last sweep took."),
    Metric("lasthop_asymmetric_responses_total", Kind.COUNTER, (), "Responses from another real server than asked."),
    Metric("lasthop_packets_total", Kind.COUNTER, ("reason", "kind"), "Packets, by what became of them."),
    Metric("lasthop_events_total", Kind.COUNTER, ("reason", "kind"), "What else was counted on their way."),
    Metric("lasthop_leg_info", Kind.INFO, ("leg", "interface", "vlan", "zone", "mode", "mac"), "A leg: always 1."),
    Metric("lasthop_leg_up", Kind.GAUGE, ("leg",), "Whether the leg is up."),
    Metric("lasthop_leg_mtu_bytes", Kind.GAUGE, ("leg",), "The largest packet that leaves by the leg."),
    Metric("lasthop_leg_hops", Kind.GAUGE, ("leg",), "Hops on the leg."),
    Metric("lasthop_service_packets_total", Kind.COUNTER, (*_OF_SERVICE, _WAY), "Packets through the service."),
    Metric("lasthop_service_bytes_total", Kind.COUNTER, (*_OF_SERVICE, _WAY), "Their bytes, from the IP header on."),
    Metric("lasthop_service_scheduled_connections_total", Kind.COUNTER, _OF_SERVICE, "Connections scheduled."),
    Metric("lasthop_service_connections", Kind.GAUGE, (*_OF_SERVICE, "state"), "Live connections."),
    Metric("lasthop_service_templates", Kind.GAUGE, _OF_SERVICE, "Clients that persistence binds to a real server."),
    Metric("lasthop_service_real_servers", Kind.GAUGE, _OF_SERVICE, "Real servers that are configured."),
    Metric("lasthop_service_usable_real_servers", Kind.GAUGE, _OF_SERVICE, "Those that can be given connections now."),
    Metric("lasthop_service_quorum_met", Kind.GAUGE, _OF_SERVICE, "0 if too few real servers are up: none is used."),
    Metric("lasthop_real_server_up", Kind.GAUGE, _OF_SERVER, "1 if it is up, or a backup whose time has not come."),
    Metric("lasthop_real_server_enabled", Kind.GAUGE, _OF_SERVER, "0 if its operator drained or disabled it."),
    Metric("lasthop_real_server_overloaded", Kind.GAUGE, _OF_SERVER, "1 if it reached its upper threshold."),
    Metric("lasthop_real_server_weight", Kind.GAUGE, _OF_SERVER, "Its configured weight."),
    Metric("lasthop_real_server_effective_weight", Kind.GAUGE, _OF_SERVER, "The weight by which it is chosen now."),
    Metric("lasthop_real_server_packets_total", Kind.COUNTER, (*_OF_SERVER, _WAY), "Packets through the real server."),
    Metric("lasthop_real_server_bytes_total", Kind.COUNTER, (*_OF_SERVER, _WAY), "Their bytes, from the IP header on."),
    Metric("lasthop_real_server_scheduled_connections_total", Kind.COUNTER, _OF_SERVER, "Connections scheduled to it."),
    Metric("lasthop_real_server_connections", Kind.GAUGE, (*_OF_SERVER, "state"), "Its live connections."),
    Metric("lasthop_real_server_templates", Kind.GAUGE, _OF_SERVER, "Clients that persistence binds to it."),
    Metric("lasthop_health_check_up", Kind.GAUGE, _OF_CHECK, "0 if the check finds it down."),
    Metric("lasthop_health_check_last_duration_seconds", Kind.GAUGE, _OF_CHECK, "Time that the last check took."),
    Metric("lasthop_health_checks_total", Kind.COUNTER, (*_OF_CHECK, "result"), "Checks, by answer and failure."),
    Metric("lasthop_drain_remaining_connections", Kind.GAUGE, _OF_SERVER, "Connections that a drain waits for."),
    Metric("lasthop_drain_deadline_seconds", Kind.GAUGE, _OF_SERVER, "Time until a drained real server is disabled."),
    Metric("lasthop_hop_info", Kind.INFO, (*_OF_HOP, "mac", "role"), "A hop: always 1."),
    Metric("lasthop_hop_connections", Kind.GAUGE, _OF_HOP, "Connections that have it as forward hop or last hop."),
    Metric("lasthop_hop_moves_total", Kind.COUNTER, _OF_HOP, "How often it moved to another MAC address."),
)  # fmt: skip

#: What the client library tells of the director's process, under lasthop's name: node_exporter has such of its own.
PROCESS = (
    Metric("lasthop_process_cpu_seconds_total", Kind.COUNTER, (), "Time on a processor."),
    Metric("lasthop_process_max_fds", Kind.GAUGE, (), "Descriptors it may have."),
    Metric("lasthop_process_open_fds", Kind.GAUGE, (), "Descriptors it has."),
    Metric("lasthop_process_resident_memory_bytes", Kind.GAUGE, (), "Memory in use; the kernel's maps are not in it."),
    Metric("lasthop_process_start_time_seconds", Kind.GAUGE, (), "When it started, in seconds since 1970."),
    Metric("lasthop_process_virtual_memory_bytes", Kind.GAUGE, (), "Memory that it could use."),
)
