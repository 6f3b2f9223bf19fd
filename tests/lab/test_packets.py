"""`lasthop explain` and `lasthop capture` beside real traffic: what they say is what the cables saw."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import RawPcapNgReader, wrpcap

from lasthop.lab.capture import Capture
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.namespace import environment
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until
from tests.lab.conversations import Held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lasthop.lab.topology import Topology

PATIENCE_S = 20
OPENED = 20
LEG = "outside"

pytestmark = pytest.mark.parametrize(
    "lab",
    [
        Blueprint(firewalls=2, clients=4, balancing=Balancing(modes, connections=20_000), offloads=False)
        for modes in (LegModes.TC, LegModes.XDP)
    ],
    indirect=True,
    ids=["tc", "xdp"],
    scope="module",
)


def lasthop(lab: Topology, *arguments: str) -> str:
    command = [sys.executable, "-m", "lasthop", "--director", lab.directors["lb1"].name, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=True)
    return done.stdout


@contextmanager
def capturing(lab: Topology, file: str, stdout: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A capture that has begun, and is killed in the end if it lasts so long."""
    command = [
        sys.executable,
        "-m",
        "lasthop",
        "--director",
        lab.directors["lb1"].name,
        "capture",
        LEG,
        "--write",
        file,
    ]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"capturing on leg {LEG}")
        try:
            yield process
        finally:
            process.kill()


def frames_of(file: Path) -> list[bytes]:
    with RawPcapNgReader(str(file)) as reader:
        return [data for data, _ in reader]


def is_tcp(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00" and frame[23] == 6


def test_a_capture_has_what_the_cable_saw_and_the_reasons(lab: Topology, tmp_path: Path) -> None:
    """Frames that native XDP forwards too, which no tap on the director's interfaces sees."""
    box, port = lab.layout.peer(lab.layout.port("lb1", LEG))
    file = tmp_path / "outside.pcapng"
    with capturing(lab, str(file)) as process:
        with Capture([(box, lab.namespace(box), port)]) as cable:
            attempts = open_http(lab.namespace("client"), lab.layout.outwards, OPENED)
            assert all(attempt.completed for attempt in attempts)
        seen = Counter(frame.data for frame in cable.frames if is_tcp(frame.data))
        wait_until(lambda: Counter(filter(is_tcp, frames_of(file))) == seen, timeout=PATIENCE_S)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert "lost" not in process.stderr.read()
    assert Counter(filter(is_tcp, frames_of(file))) == seen
    with RawPcapNgReader(str(file)) as reader:
        read: list[tuple[bytes, Any]] = list(reader)
    told = Counter(about.comments[0].decode().split(",")[0] for data, about in read if is_tcp(data))
    assert told["forwarded: forwarded_opening"] == OPENED
    assert told["forwarded: forwarded_response"] > OPENED


def test_a_capturer_that_is_killed_ends_the_capture(lab: Topology, tmp_path: Path) -> None:
    """What the leg carries meanwhile is not in the next capture."""
    with capturing(lab, str(tmp_path / "killed.pcapng")) as process:
        process.kill()
    open_http(lab.namespace("client"), lab.layout.outwards, 2)
    file = tmp_path / "later.pcapng"
    with capturing(lab, str(file)) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert not list(filter(is_tcp, frames_of(file)))


def test_explain_tells_where_the_next_packet_goes(lab: Topology) -> None:
    (attempt,) = open_http(lab.namespace("client"), lab.layout.outwards, 1)
    assert attempt.completed
    connection = next(each for each in json.loads(lasthop(lab, "connections", "--json")) if each["state"] != "SYN_RECV")
    ends = [f"{connection['source']}:{connection['source_port']}"]
    ends.append(f"{connection['destination']}:{connection['destination_port']}")
    forth = json.loads(lasthop(lab, "explain", f"tcp {ends[0]} > {ends[1]} in {LEG} flags A", "--json"))
    back = json.loads(lasthop(lab, "explain", f"tcp {ends[1]} > {ends[0]} in firewalls flags A", "--json"))
    assert forth["connection"]["real_server"] == connection["real_server"]
    assert forth["out"]["hop"] == connection["forward_hop"]
    assert back["out"]["hop"] == connection["last_hop"]
    assert (
        lasthop(lab, "explain", f"tcp 192.0.2.77:1 > {ends[1]} in {LEG}").splitlines()[0].startswith("tcp 192.0.2.77")
    )
    status = json.loads(lasthop(lab, "status", "--json"))
    assert status["asymmetric"] == {"count": 0, "samples": []}


def test_what_explain_says_of_captured_frames_is_what_the_cables_carried(lab: Topology, tmp_path: Path) -> None:
    """Each frame that came in from outside left for the firewall that explain names, with the MAC addresses it says."""
    cables = [lab.layout.peer(lab.layout.port("lb1", name)) for name in (LEG, "firewalls")]
    with Held(lab.namespace("client"), lab.layout.outwards) as held:
        with Capture([(box, lab.namespace(box), port) for box, port in cables]) as captured:
            held.open(4)
        frames = [frame for frame in captured.frames if is_tcp(frame.data)]
        came = [frame.data for frame in frames if frame.box == cables[0][0] and frame.towards_director]
        left = {frame.data[14:]: frame.data[:12] for frame in frames if frame.box == cables[1][0]}
        assert len(came) >= 8, "a SYN and an acknowledgement of each"
        file = tmp_path / "came.pcap"
        wrpcap(str(file), [Ether(data) for data in came])
        for number, data in enumerate(came, 1):
            out = json.loads(lasthop(lab, "explain", "--pcap", str(file), "--frame", str(number), "--json"))["out"]
            told = out["destination_mac"] + out["source_mac"]
            assert bytes.fromhex(told.replace(":", "")) == left[data[14:]], number


def test_tcpdump_reads_a_capture_through_a_pipe(lab: Topology) -> None:
    with capturing(lab, "-", subprocess.PIPE) as source:
        command = ["tcpdump", "-nqtl", "-c", "3", "-r", "-", "tcp"]
        with subprocess.Popen(
            command, stdin=source.stdout, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as reader:
            open_http(lab.namespace("client"), lab.layout.outwards, 2)
            out, _ = reader.communicate(timeout=PATIENCE_S)
    assert len(out.splitlines()) == 3
