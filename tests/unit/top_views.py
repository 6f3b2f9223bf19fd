"""What each view of `lasthop top` shows of the sample at 80 columns. No tests here."""

from __future__ import annotations

#: Columns that are there, and cells of a row.
SHOWN = {
    "services": (
        ["SERVICE", "SCHED", "USABLE", "ACTIVE", "INACT", "CONN/S", "PKT/S", "BYTE/S"],
        ["FWM 1", "wlc", "3/4", "3", "1", "0.25", "22", "13k"],
    ),
    "servers": (
        ["SERVICE", "SERVER", "HEALTH", "WEIGHT", "ACTIVE", "INACT", "CONN/S", "PKT/S", "BYTE/S"],
        ["FWM 1", "fw4", "unresolved", "0/1", "0", "0", "0.25", "22", "13k"],
    ),
    "hops": (
        ["LEG", "MAC", "SERVER", "ADDRESS", "CONN", "MOVED"],
        ["firewalls", "02:00:00:00:00:11", "fw1", "10.0.1.11", "1", "2"],
    ),
    "connections": (
        ["PROTO", "SOURCE", "DESTINATION", "STATE", "SERVER", "BYTES"],
        ["tcp", "198.51.100.9:40000", "203.0.113.80:80", "ESTABLISHED", "fw1", "49k"],
    ),
    "legs": (
        ["LEG", "INTERFACE", "VLAN", "ZONE", "STATE", "MODE", "HOPS", "MAC"],
        ["firewalls", "eth1", "100", "edge", "up", "xdp+tc", "3", "02:00:00:00:01:02"],
    ),
    "counters": (
        ["COUNTER", "RATE/S", "VALUE", "KIND", "MEANING"],
        ["loop", "0", "3", "unexpected"],
    ),
    "events": (["TIME", "KIND", "MESSAGE"], ["server_down", "real server fw2 of FWM 1 is down: no answer"]),
}
