"""`lasthop explain` on the command line: what it asks, and what it prints."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import PcapNgWriter, PcapWriter

from lasthop.dataplane.frames import build
from lasthop.model.connection import ConnectionReport, EachWay, HopName
from lasthop.model.described import DescribedPacket
from lasthop.model.explanation import (
    CandidateReport,
    ChoiceReport,
    ExplanationReport,
    FrameOutReport,
    LastHopReport,
    PacketReport,
    PersistenceReport,
    RuleReport,
)
from lasthop.model.template import TemplateReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from lasthop.api.fake import FakeOperations

TEXT = "tcp 10.9.0.2:4242 > 203.0.113.80:80 in outside"
PACKET = DescribedPacket(6, "10.9.0.2", "203.0.113.80", 4242, 80)
FRAMES = [build(replace(PACKET, source_port=port), "02:00:00:00:00:01", "02:00:00:00:00:02") for port in (1, 2)]
ROUTER, FW1 = HopName("outside", "02:00:00:00:00:01", None, "router"), HopName(
    "firewalls", "02:00:00:00:00:11", "100", "fw1"
)  # fmt: skip
OPENING = ExplanationReport(
    leg="outside",
    zone="edge",
    frame=FRAMES[0].hex(),
    came_from=ROUTER,
    packet=PacketReport("tcp", "10.9.0.2", 4242, "203.0.113.80", 80, 40, opening=True, error=False, fragment=""),
    verdict="forwarded",
    reason="forwarded_opening",
    sentence="First packet of a connection, scheduled to a real server.",
    connection=None,
    ended=False,
    rule=RuleReport(2, "service[0].match[1]", '{ leg = "outside", destination_port = 80 }', "FWM 1"),
    service="FWM 1",
    real_server="fw1",
    persistence=PersistenceReport("10.9.0.2", 32, None),
    choice=ChoiceReport(
        "scheduler", "wlc", "(active * 256 + inactive) / weight", None, None,
        [
            CandidateReport("fw1", 3, 1, 1, "usable", 257 / 3, chosen=True),
            CandidateReport("fw2", 1, 1, 0, "usable", 256.0, chosen=False),
            CandidateReport("fw3", 0, 0, 0, "weight 0", None, chosen=False),
        ],
    ),
    last_hop=LastHopReport(ROUTER, known=False),
    out=FrameOutReport(FW1, "02:00:00:00:00:02", FW1.mac, "100"),
    notes=["Nobody said who sends: router is assumed; else say from NAME."],
)  # fmt: skip
KNOWN = ConnectionReport(
    "edge", "tcp", "10.9.0.2", 4242, "203.0.113.80", 80, "ESTABLISHED", assured=True, service="FWM 1",
    real_server="fw1", forward_hop=FW1, last_hop=ROUTER, packets=EachWay(1, 1), bytes=EachWay(1, 1),
    age_s=72.5, idle_s=2.0, expires_s=898.0,
)  # fmt: skip


@pytest.fixture
def explained(operations: FakeOperations) -> FakeOperations:
    operations.explanation = OPENING
    return operations


@pytest.mark.usefixtures("explained")
def test_an_opening_packet_in_words(lasthop: Callable[..., Result]) -> None:
    result = lasthop("explain", TEXT)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "tcp 10.9.0.2:4242 > 203.0.113.80:80",
        "  comes in    leg outside, zone edge, from router 02:00:00:00:00:01@outside",
        "  packet      40 bytes from the IP header on, opens a connection",
        "  connection  none",
        '  rule        2: { leg = "outside", destination_port = 80 } (service[0].match[1])',
        "  service     FWM 1",
        "  persistence 10.9.0.2 is bound to nobody",
        "  real server fw1, by the scheduler wlc",
        "              (active * 256 + inactive) / weight",
        "      SERVER  WEIGHT  ACTIVE  INACTIVE   COST  STATE     CHOSEN",
        "      fw1          3       1         1  85.67  usable    yes",
        "      fw2          1       1         0    256  usable    no",
        "      fw3          0       0         0      -  weight 0  no",
        "  last hop    router 02:00:00:00:00:01@outside, learned from this packet",
        "  verdict     forwarded (forwarded_opening)",
        "              First packet of a connection, scheduled to a real server.",
        "  goes out    leg firewalls to fw1 02:00:00:00:00:11@firewalls.100",
        "              source MAC 02:00:00:00:00:02, destination MAC 02:00:00:00:00:11, VLAN 100",
        "  Nobody said who sends: router is assumed; else say from NAME.",
    ]


def test_a_known_connection_and_a_template_in_words(lasthop: Callable[..., Result], explained: FakeOperations) -> None:
    template = TemplateReport("FWM 1", "10.9.0.0", 24, "fw1", 2, assured=True, expires_s=351.0)
    explained.explanation = replace(
        OPENING, connection=KNOWN, rule=None, persistence=PersistenceReport("10.9.0.0", 24, template),
        choice=ChoiceReport("connection", "wlc", "", None, None), notes=[], ended=True,
    )  # fmt: skip
    lines = lasthop("explain", TEXT).stdout.splitlines()
    assert lines[3:7] == [
        "  connection  ESTABLISHED tcp 10.9.0.2:4242 > 203.0.113.80:80, which is over: the packet begins another",
        "              1m12s old, idle for 2s, expires in 14m58s, assured",
        "  service     FWM 1",
        "  persistence 10.9.0.0/24 is bound to fw1 by 2 connections, for 5m51s",
    ]
    assert "  real server fw1, by its connection" in lines


def test_a_slot_that_was_looked_up_is_shown(lasthop: Callable[..., Result], explained: FakeOperations) -> None:
    explained.explanation = replace(OPENING, choice=ChoiceReport("rendezvous", "wlc", "hash of both", 7, 1021))
    assert "              hash of both: slot 7 of 1021" in lasthop("explain", TEXT).stdout.splitlines()


def test_what_is_not_ip_says_little(lasthop: Callable[..., Result], explained: FakeOperations) -> None:
    explained.explanation = replace(
        OPENING, packet=None, came_from=None, verdict="kernel", reason="kernel_not_ip", sentence="Not IP.", rule=None,
        service="", real_server="", persistence=None, choice=ChoiceReport("", "", "", None, None), last_hop=None,
        out=None, notes=[],
    )  # fmt: skip
    assert lasthop("explain", TEXT).stdout.splitlines() == [
        "A frame of 54 bytes",
        "  comes in    leg outside, zone edge",
        "  connection  none",
        "  service     none",
        "  real server -, not chosen",
        "  verdict     left to the kernel (kernel_not_ip)",
        "              Not IP.",
    ]


def test_json_is_the_whole_report(lasthop: Callable[..., Result], explained: FakeOperations) -> None:
    result = lasthop("explain", *TEXT.split(), "--json")
    assert json.loads(result.stdout) == json.loads(json.dumps(asdict(OPENING)))
    (asked,) = explained.asked
    assert (asked.leg, asked.packet, asked.frame) == ("outside", PACKET, None)


@pytest.mark.parametrize("writer", [PcapWriter, PcapNgWriter])
@pytest.mark.parametrize(
    ("arguments", "leg", "number"), [((), None, 0), (("--leg", "outside", "--frame", "2"), "outside", 1)]
)
def test_a_frame_of_a_file_is_asked_about(
    writer: type[PcapWriter],
    arguments: tuple[str, ...],
    leg: str | None,
    number: int,
    lasthop: Callable[..., Result],
    explained: FakeOperations,
    tmp_path: Path,
) -> None:
    with writer(str(tmp_path / "frames")) as file:
        for frame in FRAMES:
            file.write(Ether(frame))
    assert lasthop("explain", "--pcap", str(tmp_path / "frames"), *arguments).exit_code == 0
    (asked,) = explained.asked
    assert (asked.leg, asked.packet, asked.frame) == (leg, None, FRAMES[number].hex())


def test_a_file_that_cannot_be_used_is_said_to_be(lasthop: Callable[..., Result], tmp_path: Path) -> None:
    with PcapWriter(str(tmp_path / "two"), linktype=1) as file:
        for frame in FRAMES:
            file.write(Ether(frame))
    with PcapWriter(str(tmp_path / "cooked"), linktype=113) as file:
        file.write(Ether(FRAMES[0]))
    (tmp_path / "text").write_text("no frames here, as one can see")
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_bytes((tmp_path / "two").read_bytes()[:60])
    for arguments, told in {
        ("two", "--frame", "3"): "can't explain frame 3 of",
        ("cooked",): "its link type is 113, not Ethernet; capture on an interface, not on 'any'",
        ("text",): "it is no pcap or pcapng file",
        ("empty",): "it is no pcap or pcapng file",
        ("cut", "--frame", "2"): "can't explain frame 2 of",
        ("missing",): "No such file or directory; name a capture file",
    }.items():
        name, *options = arguments
        result = lasthop("explain", "--pcap", str(tmp_path / name), *options)
        assert result.exit_code == 1, (name, result.output)
        assert told in result.stderr, name


@pytest.mark.parametrize(
    "arguments", [(), (TEXT, "--pcap", "x"), (TEXT, "--leg", "outside"), (TEXT, "--frame", "2"), ("tcp",)]
)
def test_wrong_usage_is_told(arguments: tuple[str, ...], lasthop: Callable[..., Result]) -> None:
    assert lasthop("explain", *arguments).exit_code == 2
