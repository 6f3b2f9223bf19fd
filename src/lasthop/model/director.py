"""The director's own settings: its name, how big the connection table is, and the time-outs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

#: Where neither the file nor the machine's memory says how many.
#: Of the dynamic ports of RFC 6335.
DEFAULT_PROBE_PORT = 49_784
DEFAULT_CONNECTIONS = 65_536


class State(IntEnum):
    """State of a connection.

    Values 0-10 are LVS's ``IP_VS_TCP_S_*`` in the kernel's order
    (net/netfilter/ipvs/ip_vs_proto_tcp.c), values 13-26 its ``IP_VS_SCTP_S_*`` (ip_vs_proto_sctp.c); UDP, ICMP
    and all other protocols know a single state each.

    ipvsadm shows SCTP's states by other names than these, which are those of LVS's constants::

        SCTP_NONE NONE, SCTP_INIT1 INIT1, SCTP_INIT INIT, SCTP_COOKIE_SENT C-SENT, SCTP_COOKIE_REPLIED C-REPLIED,
        SCTP_COOKIE_WAIT C-WAIT, SCTP_COOKIE COOKIE, SCTP_COOKIE_ECHOED C-ECHOED, SCTP_ESTABLISHED ESTABLISHED,
        SCTP_SHUTDOWN_SENT S-SENT, SCTP_SHUTDOWN_RECEIVED S-RECEIVED, SCTP_SHUTDOWN_ACK_SENT S-ACK-SENT,
        SCTP_REJECTED REJECTED, SCTP_CLOSED CLOSED
    """

    NONE = 0
    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT = 4
    TIME_WAIT = 5
    CLOSE = 6
    CLOSE_WAIT = 7
    LAST_ACK = 8
    LISTEN = 9
    SYNACK = 10
    UDP = 11
    ICMP = 12
    SCTP_NONE = 13
    SCTP_INIT1 = 14
    SCTP_INIT = 15
    SCTP_COOKIE_SENT = 16
    SCTP_COOKIE_REPLIED = 17
    SCTP_COOKIE_WAIT = 18
    SCTP_COOKIE = 19
    SCTP_COOKIE_ECHOED = 20
    SCTP_ESTABLISHED = 21
    SCTP_SHUTDOWN_SENT = 22
    SCTP_SHUTDOWN_RECEIVED = 23
    SCTP_SHUTDOWN_ACK_SENT = 24
    SCTP_REJECTED = 25
    SCTP_CLOSED = 26
    OTHER = 27


#: LVS: ``tcp_timeouts`` in ip_vs_proto_tcp.c, ``udp_timeouts`` in ip_vs_proto_udp.c, ``sctp_timeouts`` in
#: ip_vs_proto_sctp.c, in seconds.
#: LVS does not schedule ICMP echo; 60 s is twice nf_conntrack_icmp_timeout. Nor does it schedule other protocols:
#: 600 s is nf_conntrack_generic_timeout.
LVS_TIMEOUTS: dict[State, float] = {
    State.NONE: 2,
    State.ESTABLISHED: 900,
    State.SYN_SENT: 120,
    State.SYN_RECV: 60,
    State.FIN_WAIT: 120,
    State.TIME_WAIT: 120,
    State.CLOSE: 10,
    State.CLOSE_WAIT: 60,
    State.LAST_ACK: 30,
    State.LISTEN: 120,
    State.SYNACK: 120,
    State.UDP: 300,
    State.ICMP: 60,
    State.SCTP_NONE: 2,
    State.SCTP_INIT1: 4,
    State.SCTP_INIT: 61,
    State.SCTP_COOKIE_SENT: 61,
    State.SCTP_COOKIE_REPLIED: 61,
    State.SCTP_COOKIE_WAIT: 61,
    State.SCTP_COOKIE: 61,
    State.SCTP_COOKIE_ECHOED: 61,
    State.SCTP_ESTABLISHED: 900,
    State.SCTP_SHUTDOWN_SENT: 61,
    State.SCTP_SHUTDOWN_RECEIVED: 61,
    State.SCTP_SHUTDOWN_ACK_SENT: 61,
    State.SCTP_REJECTED: 4,
    State.SCTP_CLOSED: 61,
    State.OTHER: 600,
}

#: Not shorter than nf_conntrack's defaults (Documentation/networking/nf_conntrack-sysctl.rst), so
#: that a firewall never remembers a connection that the director has forgotten.
#: NONE is a TCP packet without a state of its own: nf_conntrack_tcp_timeout_unacknowledged, 300 s.
#: SYN_SENT and SYN_RECV are both nf_conntrack's SYN_SENT until a response is seen: 120 s.
#: SCTP_NONE and SCTP_REJECTED are nf_conntrack's CLOSED: 10 s. Its other SCTP states last 3 s, and ESTABLISHED 210 s;
#: older releases have 5 days for it, but an association's HEARTBEATs (RFC 9260 section 8.3) do not let it be silent for
#: 900 s while both ends live.
FIREWALL_SAFE_TIMEOUTS: dict[State, float] = LVS_TIMEOUTS | {
    State.NONE: 300,
    State.ESTABLISHED: 432_000,
    State.SYN_RECV: 120,
    State.SCTP_NONE: 10,
    State.SCTP_REJECTED: 10,
}

PROFILES: dict[str, dict[State, float]] = {
    "firewall-safe": FIREWALL_SAFE_TIMEOUTS,
    "lvs": LVS_TIMEOUTS,
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds of silence after which a connection in each state is forgotten."""

    profile: str = "firewall-safe"
    seconds: dict[State, float] = field(default_factory=lambda: dict(FIREWALL_SAFE_TIMEOUTS))


@dataclass(frozen=True, slots=True)
class Settings:
    """What LVS has as net.ipv4.vs.* (Documentation/networking/ipvs-sysctl.rst), with lasthop's defaults."""

    expire_quiescent_template: bool = True
    """A client that is bound to a real server of weight 0 is scheduled anew by its next connection. LVS: false."""
    expire_nodest_conn: bool = False
    """A connection of a removed real server ends at its next packet, which goes to another."""
    conn_reuse_mode: int = 1
    """What a SYN or INIT on a closed connection begins anew: 0 nothing, 1 what is closed for sure, 2 FIN_WAIT too."""
    sloppy_tcp: bool = True
    """TCP that was not seen from its SYN on is taken up by rendezvous; otherwise it is dropped. LVS: false."""
    sloppy_sctp: bool = True
    """The same of SCTP that was not seen from its INIT on. LVS: false."""


class OnDetach(StrEnum):
    """What becomes of traffic when the data plane is taken out."""

    OPEN = "open"
    """It follows the kernel's routes."""
    CLOSED = "closed"
    """Nothing is forwarded through the legs any more."""


@dataclass(frozen=True, slots=True)
class Director:
    """A machine's balancer; several may run on one host, told apart by name."""

    name: str
    connections: int = DEFAULT_CONNECTIONS
    timeouts: Timeouts = field(default_factory=Timeouts)
    settings: Settings = field(default_factory=Settings)
    probe_port: int = DEFAULT_PROBE_PORT
    """UDP port by which path probes are known; the same on both directors."""
    on_detach: OnDetach = OnDetach.OPEN
