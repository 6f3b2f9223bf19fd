"""The lab's firewalls: stateful, unforgiving, and able to tell what they saw.

Owns their nftables rules and the reading of their counters and connection tracking tables. A
firewall picks up nothing mid-stream (nf_conntrack_tcp_loose=0) and drops what conntrack calls
invalid, so a response that crosses another firewall than its request is really lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from lasthop.lab.namespace import inside, run_inside

#: Openings are allowed from both sides; UDP by service port, so that a response is never an opening. 49784 is that of
#: path probes.
RULES = """
table inet firewall {
    counter requests { }
    counter responses { }
    counter invalid { }
    counter refused { }

    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state invalid counter name invalid drop
        ct direction original counter name requests
        ct direction reply counter name responses
        ct state established,related accept
        ct state new meta l4proto tcp tcp flags & (syn | ack) == syn accept
        ct state new udp dport { 7, 53, 5201, 49784 } accept
        ct state new icmp type echo-request accept
        ct state new icmpv6 type echo-request accept
        counter name refused drop
    }
}
"""

#: sysctl of a firewall -> value; acct gives packets per direction of each tracked connection. What is over is
#: remembered for ten minutes, so that it can be judged after a long test.
SETTINGS = {
    "net/netfilter/nf_conntrack_tcp_loose": "0",
    "net/netfilter/nf_conntrack_acct": "1",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "0",
    **{
        f"net/netfilter/nf_conntrack_tcp_timeout_{state}": "600"
        for state in ("fin_wait", "close_wait", "last_ack", "time_wait", "close")
    },
}


@dataclass(frozen=True, slots=True)
class FirewallCounters:
    """Packets a firewall has seen, by what it did with them."""

    requests: int
    responses: int
    invalid: int
    """Dropped: conntrack knows no connection they could belong to."""
    refused: int
    """Dropped: no rule allows them."""


#: protocol, source, source port, destination, destination port, as the originator sent it; ICMP echo: the
#: identifier in both port fields.
ConnectionKey = tuple[str, str, int, str, int]


@dataclass(frozen=True, slots=True)
class Tracked:
    """A connection in a firewall's table."""

    key: ConnectionKey
    requests: int
    """Packets in the direction of the opening."""
    responses: int


def counters(namespace: str) -> FirewallCounters:
    """Read a firewall's counters. Raises LabError if it has none."""
    listing = json.loads(run_inside(namespace, ["nft", "-j", "list", "counters", "table", "inet", "firewall"]))
    packets = {
        item["counter"]["name"]: int(item["counter"]["packets"]) for item in listing["nftables"] if "counter" in item
    }
    return FirewallCounters(packets["requests"], packets["responses"], packets["invalid"], packets["refused"])


def tracked(namespace: str) -> list[Tracked]:
    """Read a firewall's connection tracking table."""
    with inside(namespace):
        text = Path("/proc/thread-self/net/nf_conntrack").read_text()
    return [entry for line in text.splitlines() if (entry := _tracked(line)) is not None]


def _tracked(line: str) -> Tracked | None:
    """Read one line of nf_conntrack: every name=value stands there twice, once per direction."""
    words = line.split()
    protocol = words[2]
    if protocol not in {"tcp", "udp", "icmp", "icmpv6"}:
        return None
    values: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            values.setdefault(name, []).append(value)
    ports = ("id", "id") if protocol.startswith("icmp") else ("sport", "dport")
    source, destination = (str(ip_address(values[end][0])) for end in ("src", "dst"))
    key = (protocol, source, int(values[ports[0]][0]), destination, int(values[ports[1]][0]))
    requests, responses = (int(packets) for packets in values["packets"])
    return Tracked(key, requests, responses)
