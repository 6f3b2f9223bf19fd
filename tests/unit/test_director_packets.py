"""A director asked about packets: who sends where nobody said, rules as in the file, the numbers compared, captures."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane.frames import build
from lasthop.director import captures
from lasthop.director.explaining import NOBODY_MAC
from lasthop.errors import DirectorError
from lasthop.model.capture import CapturedFrame, CapturedPortion
from lasthop.model.described import DescribedPacket, Question
from lasthop.model.leg import Leg
from lasthop.model.real_server import Admin
from lasthop.model.rule import MarkRule, Match, PassRule, PortRange
from tests.unit.director_worlds import (
    CLIENT,
    CONFIGURATION,
    ETH0,
    FW1_MAC,
    FW2_MAC,
    LEGS,
    OTHER_MAC,
    ROUTER_MAC,
    SERVICES,
    WHOLE,
    WWW,
    started,
)

if TYPE_CHECKING:
    from lasthop.dataplane.finding import Finding
    from lasthop.director.director import Director
    from lasthop.model.explanation import ExplanationReport

PACKET = DescribedPacket(6, CLIENT[0], WWW[0], CLIENT[1], WWW[1])
BACK = DescribedPacket(6, WWW[0], CLIENT[0], WWW[1], CLIENT[1])
FRAME = CapturedFrame(1, "outside", "in", "tc", "forwarded", "forwarded_opening", "router", 60, "00" * 60)


def ask(director: Director, packet: DescribedPacket = PACKET, leg: str = "outside") -> ExplanationReport:
    return director.explain(Question(leg, packet))


class TestExplain:
    """`Operations.explain`."""

    def test_a_new_connection_shows_what_was_compared(self) -> None:
        director, dataplane = started()
        dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), ("198.51.100.99", 1), WWW)
        told = ask(director)
        assert (told.verdict, told.reason, told.real_server) == ("forwarded", "forwarded_opening", "fw1")
        assert (told.choice.by, told.choice.scheduler) == ("scheduler", "wlc")
        assert told.choice.compared == "(active * 256 + inactive) / weight"
        assert [(each.name, each.weight, each.active, each.cost, each.state) for each in told.choice.candidates] == [
            ("fw1", 1, 1, 256.0, "usable"), ("fw2", 3, 0, 0.0, "usable"),
        ]  # fmt: skip
        assert told.rule is not None
        assert (told.rule.number, told.rule.place) == (1, "service[0].match[0]")
        assert told.rule.text == '{ leg = "outside" }'
        assert told.out is not None
        assert (told.out.source_mac, told.out.destination_mac, told.out.vlan) == ("02:00:00:00:00:03", FW1_MAC, None)

    def test_who_takes_no_new_connections_says_why(self) -> None:
        one, two = SERVICES[0].real_servers
        service = replace(SERVICES[0], real_servers=(replace(one, admin=Admin.DISABLED), replace(two, weight=0)))
        director, _ = started(configuration=replace(CONFIGURATION, services=(service, SERVICES[1])))
        told = ask(director)
        assert (told.verdict, told.real_server) == ("dropped", "")
        assert [(each.state, each.cost) for each in told.choice.candidates] == [("dead", None), ("weight 0", None)]

    def test_rules_are_shown_as_the_file_has_them(self) -> None:
        passed = PassRule((Match(protocols=("udp",), destination_ports=(PortRange(53, 53), PortRange(500, 600))),))
        marked = MarkRule(2, Match(legs=("firewalls",), protocols=("tcp",)))
        services = (replace(SERVICES[0], matches=(Match(legs=("outside",), protocols=("tcp", "udp")),)), *SERVICES[1:])
        services = (services[0], replace(services[1], matches=()))
        director, _ = started(
            configuration=replace(CONFIGURATION, pass_rules=(passed,), services=services, mark_rules=(marked,))
        )
        first = ask(director, replace(PACKET, protocol=17)).rule
        second = ask(director, leg="outside").rule
        third = ask(director, BACK, leg="firewalls").rule
        assert first is not None
        assert second is not None
        assert third is not None
        assert first.text == '{ protocol = "udp", destination_port = [53, "500-600"] }'
        assert (first.place, first.service) == ("pass[0].match[0]", "")
        assert second.text == '{ leg = "outside", protocol = ["tcp", "udp"] }'
        assert (third.text, third.place, third.service) == (
            '{ leg = "firewalls", protocol = "tcp" }', "mark rule 1", "FWM 2",
        )  # fmt: skip

    def test_the_first_real_server_on_the_leg_sends_unless_somebody_is_named(self) -> None:
        director, dataplane = started()
        dataplane.open(("FWM 1", "fw1"), ("outside", OTHER_MAC), ("198.51.100.99", 1), WWW)
        hop = next(hop.id for hop in director.hops() if hop.mac == OTHER_MAC)
        for sender, mac in ((None, ROUTER_MAC), ("router", ROUTER_MAC), (f"hop {hop}", OTHER_MAC), (FW1_MAC, FW1_MAC)):
            told = ask(director, replace(PACKET, sender=sender))
            assert told.came_from is not None
            assert told.came_from.mac == mac
            assert bytes.fromhex(told.frame)[6:12].hex(":") == mac
            assert (told.notes == ["Nobody said who sends: router is assumed; else say from NAME."]) == (sender is None)

    def test_a_known_connection_is_continued_by_who_sends_its_packets(self) -> None:
        director, dataplane = started()
        dataplane.open(("FWM 1", "fw2"), ("outside", OTHER_MAC), CLIENT, WWW)
        request, response = ask(director), ask(director, BACK, "firewalls")
        for told, mac, reason in ((request, OTHER_MAC, "request"), (response, FW2_MAC, "response")):
            assert told.came_from is not None
            assert (told.came_from.mac, told.reason) == (mac, f"forwarded_{reason}")
            assert told.notes[0].startswith("Nobody said who sends: the connection is known, so ")
            assert told.connection is not None
            assert told.choice.candidates == []

    def test_a_connection_that_is_over_is_left_out_of_the_numbers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        director, dataplane = started()
        dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
        explain = dataplane.inspection.explain

        def ended(leg: str, frame: bytes, *, tagged: bool) -> Finding:
            found = explain(leg, frame, tagged=tagged)
            return replace(found, ended=True, left_out="active", chosen_by="scheduler")

        monkeypatch.setattr(dataplane.inspection, "explain", ended)
        told = ask(director)
        assert [(each.name, each.active, each.cost) for each in told.choice.candidates] == [
            ("fw1", 0, 0.0), ("fw2", 0, 0.0),
        ]  # fmt: skip
        assert "The connection that is over is left out of these numbers." in told.notes

    def test_where_nobody_is_known_a_mac_address_is_made_up(self) -> None:
        spare = Leg("spare", "eth2", "edge")
        link = replace(ETH0, name="eth2", ifindex=4)
        director, _ = started(
            replace(WHOLE, links={**WHOLE.links, "eth2": replace(link, addresses=())}),
            replace(CONFIGURATION, legs=(*LEGS, spare)),
        )
        told = ask(director, leg="spare")
        assert told.came_from is not None
        assert told.came_from.mac == NOBODY_MAC
        assert "nobody is known there" in told.notes[0]

    def test_a_captured_frame_is_of_the_leg_whose_mac_address_it_is_for(self) -> None:
        director, _ = started()
        frame = build(PACKET, ROUTER_MAC, ETH0.mac).hex()
        assert director.explain(Question(frame=frame)).leg == "outside"
        assert director.explain(Question(leg="firewalls", frame=frame)).leg == "firewalls"

    @pytest.mark.parametrize(
        ("question", "told"),
        [
            (Question("outside"), "neither a packet nor a frame"),
            (Question("outside", frame="zz"), "not hexadecimal"),
            (Question("nowhere", PACKET), "leg 'nowhere': there is none of that name; legs: outside, firewalls"),
            (Question(frame="02" * 60), "no leg has the MAC address 02:02:02:02:02:02"),
            (Question("outside", replace(PACKET, sender="fw1")), "real servers there: router"),
            (Question("outside", replace(PACKET, sender="hop 999")), "hop 999 send on leg 'outside'"),
        ],
    )
    def test_what_is_not_there_is_named(self, question: Question, told: str) -> None:
        director, _ = started()
        with pytest.raises(DirectorError) as caught:
            director.explain(question)
        assert told in str(caught.value)


class TestCapture:
    """`Operations.capture`."""

    def test_a_leg_is_captured_as_long_as_somebody_reads(self) -> None:
        async def run() -> None:
            director, dataplane = started()
            one, other = director.capture("outside", {"in"}), director.capture("outside", {"in", "out"})
            assert dataplane.inspection.legs == {"outside"}
            one.close()
            one.close()
            assert dataplane.inspection.legs == {"outside"}
            other.close()
            assert dataplane.inspection.legs == frozenset()

        asyncio.run(run())

    def test_frames_go_to_whom_they_are_for_after_a_first_portion(self) -> None:
        async def run() -> None:
            director, dataplane = started()
            here, there = director.capture("outside", {"in"}), director.capture("firewalls", {"in", "out"})
            mine, others = here.portions(), there.portions()
            assert [await anext(mine), await anext(others)] == [CapturedPortion([], 0)] * 2
            wanted = replace(FRAME, leg="firewalls", direction="out")
            for frame in (replace(FRAME, direction="out"), FRAME, wanted):
                dataplane.inspection.arrive(frame)
            assert await anext(mine) == CapturedPortion([FRAME], 0)
            assert await anext(others) == CapturedPortion([wanted], 0)
            director.end_captures()
            assert [portion async for portion in mine] == []

        asyncio.run(run())

    def test_a_quiet_leg_has_a_heartbeat(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(captures, "_HEARTBEAT_S", 0.01)

        async def run() -> None:
            director, _ = started()
            portions = director.capture("outside", {"in"}).portions()
            assert [await anext(portions) for _ in range(3)] == [CapturedPortion([], 0)] * 3
            director.end_captures()

        asyncio.run(run())

    def test_what_finds_no_room_is_counted_from_the_beginning_of_the_capture(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(captures, "_WAITING", 2)

        async def run() -> None:
            director, dataplane = started()
            dataplane.inspection.lost_frames = 7
            portions = director.capture("outside", {"in"}).portions()
            await anext(portions)
            dataplane.inspection.lost_frames = 8
            for _ in range(5):
                dataplane.inspection.arrive(FRAME)
            assert await anext(portions) == CapturedPortion([FRAME, FRAME], 4)
            director.end_captures()

        asyncio.run(run())

    def test_a_leg_that_there_is_not_is_refused(self) -> None:
        director, _ = started()
        with pytest.raises(DirectorError, match="leg 'nowhere': there is none of that name; legs: outside, firewalls"):
            director.capture("nowhere", {"in"})

    def test_a_director_that_detaches_ends_its_captures(self) -> None:
        async def run() -> None:
            director, _ = started()
            portions = director.capture("outside", {"in"}).portions()
            await anext(portions)
            director.detach()
            assert [portion async for portion in portions] == []
            with pytest.raises(DirectorError, match="has detached"):
                director.capture("outside", {"in"})

        asyncio.run(run())
