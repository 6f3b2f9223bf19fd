"""The sentence for each counted reason, and whether an operator should expect to see it.

Owns the wording; the reasons themselves are ``enum reason`` in bpf/abi.h. A reason without a
sentence fails a test.
"""

from __future__ import annotations

from typing import NamedTuple


class Reason(NamedTuple):
    """What a counter means."""

    sentence: str
    expected: bool


_EXPECTED, _UNEXPECTED = True, False

REASONS: dict[str, Reason] = {
    "FORWARDED_REQUEST": Reason("Request of a known connection, sent to its real server.", _EXPECTED),
    "FORWARDED_RESPONSE": Reason("Response of a known connection, sent to its last hop.", _EXPECTED),
    "FORWARDED_OPENING": Reason("First packet of a connection, scheduled to a real server.", _EXPECTED),
    "FORWARDED_MIDSTREAM": Reason(
        "Packet in the middle of an unknown connection, sent by rendezvous and remembered.", _EXPECTED
    ),
    "FORWARDED_RELATED": Reason("ICMP error about a known connection, sent the way that connection goes.", _EXPECTED),
    "FORWARDED_STRAY": Reason(
        "RST, ABORT, ICMP error or later fragment of an unknown connection, sent by rendezvous, not remembered.",
        _EXPECTED,
    ),
    "FORWARDED_UNTRACKED": Reason(
        "Sent by rendezvous because there was no room to remember the connection.", _UNEXPECTED
    ),
    "FORWARDED_FRAGMENT": Reason("Later fragment, sent where its datagram's first one goes.", _EXPECTED),
    "FORWARDED_RESET": Reason('Answered with a RST: its real server is dead, on_death = "reset".', _EXPECTED),
    "FORWARDED_TOO_BIG": Reason(
        "Answered with an ICMP error, which says the MTU: larger than that of the leg it should leave through.",
        _EXPECTED,
    ),
    "FORWARDED_PROBE": Reason("Path probe, sent back to the real server it came from.", _EXPECTED),
    "KERNEL_TC": Reason("XDP handed the packet to the tc program, which counts what became of it.", _EXPECTED),
    "KERNEL_NOT_IP": Reason("Not IP (ARP, LLDP, STP ...): for the kernel.", _EXPECTED),
    "KERNEL_TRUNCATED": Reason("Frame shorter than its headers say: for the kernel.", _UNEXPECTED),
    "KERNEL_BAD_HEADER": Reason("Header that contradicts itself: for the kernel.", _UNEXPECTED),
    "KERNEL_VLAN": Reason("Of a VLAN that no leg is on, or with more than two tags: for the kernel.", _EXPECTED),
    "KERNEL_NO_LEG": Reason(
        "Without a tag on an interface whose legs have tags, or on one that is no leg: for the kernel.", _EXPECTED
    ),
    "KERNEL_MULTICAST": Reason("Broadcast or multicast: for the kernel.", _EXPECTED),
    "KERNEL_FOREIGN_MAC": Reason("Destination MAC address is not the director's: for the kernel.", _EXPECTED),
    "KERNEL_OWN_SOURCE": Reason("Source MAC address is the director's own, or a group: for the kernel.", _UNEXPECTED),
    "KERNEL_MARTIAN": Reason("Address that never crosses a router (RFC 1122, 3927, 4291): for the kernel.", _EXPECTED),
    "KERNEL_PROTOCOL": Reason(
        "ICMP or ICMPv6 that is neither a query nor an error about a packet that could be sent: for the kernel.",
        _EXPECTED,
    ),
    "KERNEL_NEIGHBOUR": Reason(
        "ICMPv6 of the link (neighbour discovery, multicast listeners): for the kernel.", _EXPECTED
    ),
    "KERNEL_PASS_RULE": Reason("A pass rule matched: for the kernel.", _EXPECTED),
    "KERNEL_LOCAL": Reason("Addressed to the director itself: for the kernel.", _EXPECTED),
    "KERNEL_NO_RULE": Reason("No mark rule matched: for the kernel.", _EXPECTED),
    "KERNEL_EMPTY": Reason('Service without a usable real server, when_empty = "kernel".', _UNEXPECTED),
    "KERNEL_TOO_BIG": Reason("Larger than the egress leg's MTU: for the kernel, which can answer it.", _UNEXPECTED),
    "KERNEL_BYPASS": Reason('Left to the routes: its real server died, or there was none ("bypass").', _EXPECTED),
    "DROP_EMPTY": Reason('Service without a usable real server, when_empty = "drop".', _UNEXPECTED),
    "DROP_LOOP": Reason("Would have gone back to the MAC address it came from.", _UNEXPECTED),
    "DROP_NO_HOP": Reason("The hop it should go to points nowhere: its leg is gone.", _UNEXPECTED),
    "DROP_LEG_DOWN": Reason("The leg it should leave through is down, or its interface is gone.", _UNEXPECTED),
    "DROP_CONTENDED": Reason("Its connection was opened and ended by other CPUs at the same instant.", _UNEXPECTED),
    "DROP_MIDSTREAM": Reason(
        "TCP or SCTP from the middle of an unknown connection, and sloppy_tcp or sloppy_sctp is off.", _EXPECTED
    ),
    "DROP_DEAD": Reason('Its real server is dead, on_death = "drop", or "reset" where nobody can be told.', _EXPECTED),
    "DROP_TAG": Reason("A VLAN tag could not be written or taken off.", _UNEXPECTED),
    "DROP_TOO_BIG": Reason(
        "Larger than the MTU of the leg it should leave through, and the ICMP error could not be written.", _UNEXPECTED
    ),
    "DROP_PROBE": Reason("Path probe that came back: its director has seen it.", _EXPECTED),
    "EVENT_TABLE_FULL": Reason("The connection table had no room for a new connection.", _UNEXPECTED),
    "EVENT_QUOTA": Reason("Too many connections are not assured: a new one went on without an entry.", _UNEXPECTED),
    "EVENT_CROWDED": Reason("The table is crowded: a new connection took the rendezvous choice.", _UNEXPECTED),
    "EVENT_REPLACED": Reason("A connection that had not expired gave way to a new one.", _UNEXPECTED),
    "EVENT_HOPS_FULL": Reason("The leg has learned as many hops as it may.", _UNEXPECTED),
    "EVENT_TEMPLATES_FULL": Reason("No room for a persistence template.", _UNEXPECTED),
    "EVENT_CONTENDED": Reason("Two CPUs opened the same connection; both took the entry of the first.", _EXPECTED),
    "EVENT_HOP_LEARNED": Reason("A hop was learned from a packet.", _EXPECTED),
    "EVENT_LAST_HOP_MOVED": Reason("A connection's requests came from another hop; its last hop followed.", _EXPECTED),
    "EVENT_HOP_MOVE_DENIED": Reason(
        "A request came from a real server of its own service, or on a strict leg from an unknown MAC address; "
        "the last hop did not follow.",
        _UNEXPECTED,
    ),
    "EVENT_HOP_DENIED": Reason(
        "A new connection came from a MAC address that a strict leg does not know; it has no entry.", _UNEXPECTED
    ),
    "EVENT_ASYMMETRIC": Reason("A response came from another real server than its requests go to.", _UNEXPECTED),
    "EVENT_RESPONSE_ELSEWHERE": Reason(
        "A response came from a MAC address that is no real server's, and not where its requests go.", _EXPECTED
    ),
    "EVENT_FRAGMENT_EARLY": Reason("A later fragment came before its datagram's first one.", _EXPECTED),
    "EVENT_RELATED": Reason(
        "A new connection went to the real server that an older one of its two addresses has.", _EXPECTED
    ),
    "EVENT_EXPIRED": Reason("A connection was forgotten after its time-out.", _EXPECTED),
    "EVENT_REUSED": Reason("A SYN or INIT reused the ports of a connection that was over.", _EXPECTED),
    "EVENT_SERVER_GONE": Reason("A connection of a removed real server ended: expire_nodest_conn.", _EXPECTED),
    "EVENT_MOVED": Reason("A connection of a dead real server went to another one.", _EXPECTED),
    "EVENT_MADE_LOCAL": Reason("A connection to an address that is the director's own now was forgotten.", _EXPECTED),
    "EVENT_XDP_REDIRECT_ERROR": Reason("A frame redirected by XDP was not taken by the egress driver.", _UNEXPECTED),
}

#: Entries of ``enum reason`` that separate groups and are never counted.
GROUP_MARKS = frozenset({"KERNEL_FIRST", "DROP_FIRST", "EVENT_FIRST", "REASONS"})


def verdict_of(reason: str) -> str:
    """``forwarded``, ``kernel`` or ``dropped``, by the group of a reason."""
    return {"forwarded": "forwarded", "kernel": "kernel", "drop": "dropped"}[reason.lower().partition("_")[0]]
