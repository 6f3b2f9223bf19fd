"""Publishing while packets arrive: every packet sees one set or the other, never a mixture."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from lasthop.dataplane import publisher
from lasthop.model.rule import PortRange
from tests.packet.frames import udp
from tests.packet.plans import FW, ROUTER, firewalls, mac_of, rule, two_box

if TYPE_CHECKING:
    import pytest

    from lasthop.policy.plan import Plan
    from tests.packet.rig import Rig

PUBLICATIONS = 60
REAL_GRACE_PERIOD = publisher.grace_period


def sets() -> tuple[Plan, Plan]:
    """Two that share no real server, list them elsewhere, and differ in scheduler, rules and persistence."""
    few = two_box(firewalls(8)[:2], "rr")
    many = two_box(
        firewalls(8)[2:],
        "wlc",
        persistence_s=60.0,
        rules=(rule(None, destination_ports=PortRange(9, 9)), rule(1, leg="outside"), rule(2, leg="firewalls")),
    )
    return few, many


def test_no_packet_sees_a_half_written_set(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "grace_period", REAL_GRACE_PERIOD)
    few, many = sets()
    rig.publish(few)
    stop, seen = threading.Event(), Counter[str]()
    ethernet = bytes.fromhex((mac_of("outside") + ROUTER).replace(":", "")) + b"\x08\x00"
    frames = [ethernet + bytes(udp(source=f"198.51.{i // 250}.{i % 250 + 1}", sport=1000 + i)) for i in range(2000)]

    def send() -> None:
        number = 0
        while not stop.is_set():
            verdict, after = rig.run("outside", frames[number % len(frames)])
            seen[verdict if verdict != "forwarded" else after[:6].hex(":")] += 1
            number += 1

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for number in range(PUBLICATIONS):
            rig.publish((many, few)[number % 2])
    finally:
        stop.set()
        sender.join()
    assert sum(seen.values()) > PUBLICATIONS
    assert set(seen) <= set(FW), "every packet was forwarded to a firewall"
    assert {"few": any(seen[mac] for mac in FW[:2]), "many": any(seen[mac] for mac in FW[2:])} == {
        "few": True,
        "many": True,
    }
    counted = rig._counted()
    assert {name for name in counted if not name.startswith(("FORWARDED", "EVENT"))} == set()
