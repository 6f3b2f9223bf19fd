"""The keys of a configuration file: where each may stand, its type, its bounds, its default.

Owns the pydantic models, which live no longer than one file is read. Every field's first example is what a remedy
shows. What keys must be to each other is `lasthop.config.crosscheck`'s; kinds of values are `lasthop.config.values`'.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from lasthop.config import access_values, health_values, values
from lasthop.model.access import DEFAULT_METRICS_HOPS, Endpoint
from lasthop.model.director import DEFAULT_PROBE_PORT, OnDetach
from lasthop.model.health import Check
from lasthop.model.leg import Mode, ReplyTo
from lasthop.model.real_server import Admin
from lasthop.model.rule import PortRange
from lasthop.model.service import OnDeath, Related, WhenEmpty
from lasthop.model.vlan import VlanProtocol
from lasthop.policy.limits import MAX_CONNECTIONS, MIN_CONNECTIONS

Name = Annotated[str, PlainValidator(values.name)]
ServerName = Annotated[str, PlainValidator(values.server_name)]
Interface = Annotated[str, PlainValidator(values.interface)]
MacAddress = Annotated[str, PlainValidator(values.mac)]
Address = Annotated[IPv4Address | IPv6Address, PlainValidator(values.address)]
Prefix = Annotated[IPv4Network | IPv6Network, PlainValidator(values.prefix)]
Protocol = Annotated[str, PlainValidator(values.protocol)]
Ports = Annotated[PortRange, PlainValidator(values.ports)]
Netmask = Annotated[int, PlainValidator(values.netmask)]
SchedulerName = Annotated[str, PlainValidator(values.scheduler)]
SchedulerFlag = Annotated[str, PlainValidator(values.scheduler_flag)]
ModeName = Annotated[Mode, Field(strict=False)]
ReplyToName = Annotated[ReplyTo, Field(strict=False)]
Vlans = Annotated[tuple[int, ...], PlainValidator(values.vlan)]
VlanProtocolName = Annotated[VlanProtocol, Field(strict=False)]
WhenEmptyName = Annotated[WhenEmpty, Field(strict=False)]
CheckName = Annotated[Check, Field(strict=False)]
UrlPath = Annotated[str, PlainValidator(health_values.url_path)]
HostName = Annotated[str, PlainValidator(health_values.host_name)]
DomainName = Annotated[str, PlainValidator(health_values.domain_name)]
Statuses = Annotated[tuple[int, int], PlainValidator(health_values.statuses)]
Pattern = Annotated[str, PlainValidator(health_values.pattern)]
ListenEndpoint = Annotated[Endpoint, PlainValidator(access_values.endpoint)]
AbsolutePath = Annotated[str, PlainValidator(access_values.absolute_path)]
Group = Annotated[str, PlainValidator(access_values.group)]

OnDetachName = Annotated[OnDetach, Field(strict=False)]
AdminName = Annotated[Admin, Field(strict=False)]
OnDeathName = Annotated[OnDeath, Field(strict=False)]
RelatedName = Annotated[Related, Field(strict=False)]
Moment = Annotated[datetime, PlainValidator(values.moment)]

Mark = Annotated[int, Field(ge=1, le=4_294_967_295)]

#: A second to a year.
Seconds = Annotated[float, Field(ge=1, le=31_536_000, allow_inf_nan=False)]

Kind = TypeVar("Kind")


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


#: A key that takes one value or a list of them; an empty list is a mistake, since "any" is said by leaving the key out.
OneOrMore = Annotated[list[Kind], BeforeValidator(_as_list), Field(min_length=1)]


def _key(example: str, **more: Any) -> Any:  # noqa: ANN401  as pydantic's Field itself
    """Return a field whose remedy shows `example`."""
    return Field(examples=[example], **more)


class Section(BaseModel):
    """A table of the file: no other keys, no conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DirectorSection(Section):
    """``[director]``."""

    name: Name = _key('name = "lb1"')
    probe_port: int = _key("probe_port = 49784", default=DEFAULT_PROBE_PORT, ge=1, le=65535)
    on_detach: OnDetachName = _key('on_detach = "open"', default=OnDetach.OPEN)


class ApiSection(Section):
    """``[api]``."""

    listen: OneOrMore[ListenEndpoint] | None = _key('listen = "192.0.2.10:8443"', default=None)
    certificate: AbsolutePath = _key('certificate = "/etc/lasthop/api.crt"', default="")
    key: AbsolutePath = _key('key = "/etc/lasthop/api.key"', default="")
    client_ca: AbsolutePath = _key('client_ca = "/etc/lasthop/clients.crt"', default="")
    tokens: AbsolutePath = _key('tokens = "/etc/lasthop/tokens"', default="")
    readers: Group | None = _key('readers = "adm"', default=None)
    writers: Group | None = _key('writers = "netops"', default=None)
    metrics_open: bool = _key("metrics_open = true", default=False)
    metrics_hops: int = _key("metrics_hops = 64", default=DEFAULT_METRICS_HOPS, ge=0, le=10_000)


class TableSection(Section):
    """``[table]``."""

    connections: int | None = _key("connections = 1_000_000", default=None, ge=MIN_CONNECTIONS, le=MAX_CONNECTIONS)


class TimeoutsSection(Section):
    """``[timeouts]``: a profile, and single values that replace the profile's. Seconds."""

    profile: Literal["firewall-safe", "lvs"] = _key('profile = "firewall-safe"', default="firewall-safe")
    tcp_none: Seconds | None = _key("tcp_none = 300", default=None)
    tcp_established: Seconds | None = _key("tcp_established = 900", default=None)
    tcp_syn_sent: Seconds | None = _key("tcp_syn_sent = 120", default=None)
    tcp_syn_recv: Seconds | None = _key("tcp_syn_recv = 60", default=None)
    tcp_fin_wait: Seconds | None = _key("tcp_fin_wait = 120", default=None)
    tcp_time_wait: Seconds | None = _key("tcp_time_wait = 120", default=None)
    tcp_close: Seconds | None = _key("tcp_close = 10", default=None)
    tcp_close_wait: Seconds | None = _key("tcp_close_wait = 60", default=None)
    tcp_last_ack: Seconds | None = _key("tcp_last_ack = 30", default=None)
    tcp_listen: Seconds | None = _key("tcp_listen = 120", default=None)
    tcp_synack: Seconds | None = _key("tcp_synack = 120", default=None)
    udp: Seconds | None = _key("udp = 300", default=None)
    icmp: Seconds | None = _key("icmp = 60", default=None)
    sctp_none: Seconds | None = _key("sctp_none = 10", default=None)
    sctp_init1: Seconds | None = _key("sctp_init1 = 4", default=None)
    sctp_init: Seconds | None = _key("sctp_init = 61", default=None)
    sctp_cookie_sent: Seconds | None = _key("sctp_cookie_sent = 61", default=None)
    sctp_cookie_replied: Seconds | None = _key("sctp_cookie_replied = 61", default=None)
    sctp_cookie_wait: Seconds | None = _key("sctp_cookie_wait = 61", default=None)
    sctp_cookie: Seconds | None = _key("sctp_cookie = 61", default=None)
    sctp_cookie_echoed: Seconds | None = _key("sctp_cookie_echoed = 61", default=None)
    sctp_established: Seconds | None = _key("sctp_established = 900", default=None)
    sctp_shutdown_sent: Seconds | None = _key("sctp_shutdown_sent = 61", default=None)
    sctp_shutdown_received: Seconds | None = _key("sctp_shutdown_received = 61", default=None)
    sctp_shutdown_ack_sent: Seconds | None = _key("sctp_shutdown_ack_sent = 61", default=None)
    sctp_rejected: Seconds | None = _key("sctp_rejected = 10", default=None)
    sctp_closed: Seconds | None = _key("sctp_closed = 61", default=None)
    other: Seconds | None = _key("other = 600", default=None)


class LegSection(Section):
    """``[[leg]]``."""

    name: Name = _key('name = "outside"')
    interface: Interface = _key('interface = "eth0"')
    zone: Name = _key('zone = "edge"')
    mode: ModeName = _key('mode = "auto"', default=Mode.AUTO)
    virtual_macs: list[MacAddress] = _key('virtual_macs = ["00:00:5e:00:01:0a"]', default=[])
    vlan: Vlans | None = _key("vlan = 100", default=None)
    vlan_protocol: VlanProtocolName | None = _key('vlan_protocol = "802.1q"', default=None)
    reply_to: ReplyToName = _key('reply_to = "source-mac"', default=ReplyTo.SOURCE_MAC)
    gateway: OneOrMore[Address] | None = _key('gateway = "192.0.2.1"', default=None)
    strict: bool = _key("strict = true", default=False)


class MatchSection(Section):
    """One table of ``match``; a key left out matches anything."""

    leg: OneOrMore[str] | None = _key('leg = "outside"', default=None)
    source_real_server: OneOrMore[str] | None = _key('source_real_server = "router"', default=None)
    family: OneOrMore[Literal["ipv4", "ipv6"]] | None = _key('family = "ipv6"', default=None)
    protocol: OneOrMore[Protocol] | None = _key('protocol = "tcp"', default=None)
    source: OneOrMore[Prefix] | None = _key('source = "192.0.2.0/24"', default=None)
    destination: OneOrMore[Prefix] | None = _key('destination = "203.0.113.80"', default=None)
    source_port: OneOrMore[Ports] | None = _key('source_port = "1024-65535"', default=None)
    destination_port: OneOrMore[Ports] | None = _key("destination_port = 80", default=None)
    dscp: OneOrMore[Annotated[int, Field(ge=0, le=63)]] | None = _key("dscp = 46", default=None)


#: ``match``: tables of which any one suffices.
Matches = Annotated[list[MatchSection], Field(min_length=1)]


class PassSection(Section):
    """``[[pass]]``."""

    match: Matches = _key('match = [{ protocol = "tcp", destination_port = 179 }]')


class PersistenceSection(Section):
    """``persistence`` of a service; the netmask is held as its number of bits."""

    timeout: Seconds = _key("timeout = 360", default=360.0)
    netmask: Netmask = _key('netmask = "255.255.255.255"', default=32)
    prefix6: int = _key("prefix6 = 128", default=128, ge=1, le=128)


class RealServerSection(Section):
    """``[[service.real_server]]``."""

    name: ServerName = _key('name = "fw1"')
    address: Address = _key('address = "10.0.1.11"')
    other_addresses: list[Address] = _key('other_addresses = ["2001:db8:1::11"]', default=[])
    weight: int = _key("weight = 1", default=1, ge=0, le=65535)
    upper_threshold: int = _key("upper_threshold = 1000", default=0, ge=0, le=65535)
    lower_threshold: int = _key("lower_threshold = 750", default=0, ge=0, le=65535)
    leg: str | None = _key('leg = "firewalls"', default=None)
    admin: AdminName = _key('admin = "enabled"', default=Admin.ENABLED)
    health_target: Address | None = _key('health_target = "10.0.2.11"', default=None)
    backup_of: ServerName | None = _key('backup_of = "fw1"', default=None)
    drain_until: Moment | None = _key("drain_until = 2030-01-31T12:00:00Z", default=None)


class PassiveSection(Section):
    """``passive`` of a health check."""

    unanswered: float = _key("unanswered = 0.9", default=0.9, gt=0, le=1, allow_inf_nan=False)
    connections: int = _key("connections = 20", default=20, ge=1, le=1_000_000)
    asymmetric: int = _key("asymmetric = 10", default=0, ge=0, le=64)
    window: float = _key("window = 10", default=10.0, ge=2, le=60, allow_inf_nan=False)
    retry: float = _key("retry = 30", default=30.0, ge=1, le=3600, allow_inf_nan=False)


class HealthSection(Section):
    """``[service.health]``."""

    check: CheckName = _key('check = "ping"')
    target: Address | None = _key('target = "10.0.2.1"', default=None)
    port: int | None = _key("port = 80", default=None, ge=1, le=65535)
    interval: float = _key("interval = 2", default=2.0, ge=0.1, le=3600, allow_inf_nan=False)
    timeout: float = _key("timeout = 1", default=1.0, ge=0.05, le=3600, allow_inf_nan=False)
    rise: int = _key("rise = 2", default=2, ge=1, le=100)
    fall: int = _key("fall = 3", default=3, ge=1, le=100)
    warmup: float = _key("warmup = 10", default=0.0, ge=0, le=3600, allow_inf_nan=False)
    path: UrlPath = _key('path = "/"', default="/")
    host: HostName = _key('host = "www.example.com"', default="")
    status: OneOrMore[Statuses] = _key('status = "200-299"', default=[(200, 299)])
    body: Pattern = _key('body = "ready"', default="")
    verify: bool = _key("verify = true", default=False)
    name: DomainName = _key('name = "www.example.com"', default=".")
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"] = _key('record = "A"', default="NS")
    send: str = _key('send = "are you there?"', default="", max_length=1400)
    expect: Pattern = _key('expect = "yes"', default="")
    command: list[str] = _key('command = ["/usr/local/bin/check-firewall"]', default=[])
    passive: PassiveSection | None = _key("passive = { unanswered = 0.9 }", default=None)
    weight_by_status: bool = _key("weight_by_status = true", default=False)


class ServiceSection(Section):
    """``[[service]]``."""

    mark: Mark | None = _key("mark = 1", default=None)
    family: Literal["ipv6"] | None = _key('family = "ipv6"', default=None)
    match: list[MatchSection] = _key('match = [{ leg = "outside" }]', default=[])
    address: Address | None = _key('address = "203.0.113.80"', default=None)
    protocol: Literal["tcp", "udp", "sctp"] | None = _key('protocol = "tcp"', default=None)
    port: int | None = _key("port = 80", default=None, ge=0, le=65535)
    scheduler: SchedulerName = _key('scheduler = "wlc"', default="wlc")
    scheduler_flags: list[SchedulerFlag] = _key('scheduler_flags = ["sh-port"]', default=[])
    persistence: PersistenceSection | None = _key("persistence = { timeout = 360 }", default=None)
    one_packet: bool = _key("one_packet = true", default=False)
    related: RelatedName = _key('related = "address-pair"', default=Related.NONE)
    on_death: OnDeathName = _key('on_death = "rebalance"', default=OnDeath.REBALANCE)
    when_empty: WhenEmptyName = _key('when_empty = "drop"', default=WhenEmpty.DROP)
    health: HealthSection | None = _key('[service.health] with check = "ping"', default=None)
    grace: float = _key("grace = 10", default=0.0, ge=0, le=86_400, allow_inf_nan=False)
    quorum: int = _key("quorum = 2", default=0, ge=0, le=1_000_000)
    hysteresis: int = _key("hysteresis = 1", default=0, ge=0, le=1_000_000)
    slow_start: float = _key("slow_start = 30", default=0.0, ge=0, le=86_400, allow_inf_nan=False)
    real_server: list[RealServerSection] = _key('[[service.real_server]] with name = "fw1" and address = "10.0.1.11"')


class MarkSection(Section):
    """``[[mark]]``: a mark rule of its own."""

    mark: Mark = _key("mark = 1")
    match: Matches = _key('match = [{ protocol = "tcp", destination_port = 80 }]')


class LvsSection(Section):
    """``[lvs]``: what LVS has as net.ipv4.vs.*."""

    expire_quiescent_template: bool = _key("expire_quiescent_template = true", default=True)
    expire_nodest_conn: bool = _key("expire_nodest_conn = false", default=False)
    conn_reuse_mode: Literal[0, 1, 2] = _key("conn_reuse_mode = 1", default=1)
    sloppy_tcp: bool = _key("sloppy_tcp = true", default=True)
    sloppy_sctp: bool = _key("sloppy_sctp = true", default=True)


class Document(Section):
    """The whole file."""

    director: DirectorSection = _key('[director] with name = "lb1"')
    api: ApiSection = _key('[api] with readers = "adm"', default=ApiSection())
    table: TableSection = _key("[table] with connections = 1_000_000", default=TableSection())
    lvs: LvsSection = _key("[lvs] with conn_reuse_mode = 1", default=LvsSection())
    timeouts: TimeoutsSection = _key('[timeouts] with profile = "lvs"', default=TimeoutsSection())
    leg: list[LegSection] = _key('[[leg]] with name = "outside", interface = "eth0" and zone = "edge"', min_length=1)
    pass_: list[PassSection] = _key(
        '[[pass]] with match = [{ protocol = "tcp", destination_port = 179 }]', default=[], alias="pass"
    )
    service: list[ServiceSection] = _key(
        '[[service]] with mark = 1, match = [{ leg = "outside" }] and [[service.real_server]]', default=[]
    )
    mark: list[MarkSection] = _key(
        '[[mark]] with mark = 1 and match = [{ protocol = "tcp", destination_port = 80 }]', default=[]
    )


#: The model of each table, by its keys without indices: what may stand there.
SECTIONS: dict[tuple[str, ...], type[Section]] = {
    (): Document,
    ("director",): DirectorSection,
    ("api",): ApiSection,
    ("table",): TableSection,
    ("timeouts",): TimeoutsSection,
    ("lvs",): LvsSection,
    ("leg",): LegSection,
    ("mark",): MarkSection,
    ("mark", "match"): MatchSection,
    ("pass",): PassSection,
    ("pass", "match"): MatchSection,
    ("service",): ServiceSection,
    ("service", "match"): MatchSection,
    ("service", "persistence"): PersistenceSection,
    ("service", "health"): HealthSection,
    ("service", "health", "passive"): PassiveSection,
    ("service", "real_server"): RealServerSection,
}


def known_keys(section: type[Section]) -> dict[str, str]:
    """Return the keys of a table as written in TOML, each with its example."""
    return {field.alias or key: str((field.examples or [""])[0]) for key, field in section.model_fields.items()}
