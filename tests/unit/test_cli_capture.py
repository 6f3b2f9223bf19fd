"""`lasthop capture` on the command line: lines, pcapng that others read, and how it ends."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import pytest
from scapy.utils import RawPcapNgReader

from lasthop.api.fake import ServedDirector
from lasthop.api.location import socket_path
from lasthop.api.sample import sample
from lasthop.dataplane.frames import build
from lasthop.model.capture import CapturedFrame, CapturedPortion
from lasthop.model.described import DescribedPacket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

    from lasthop.api.fake import FakeOperations

AT_NS = 1_700_000_000_123_456_789
TCP = build(DescribedPacket(6, "10.9.0.2", "203.0.113.80", 4242, 80), "02:00:00:00:00:01", "02:00:00:00:01:01")
UDP6 = build(
    DescribedPacket(17, "2001:db8::2", "2001:db8::80", 53, 5353, vlan=(100,)), "02:00:00:00:01:01", "02:00:00:00:00:11"
)
CAME = CapturedFrame(AT_NS, "outside", "in", "tc", "forwarded", "forwarded_opening", "router", len(TCP), TCP.hex())
WENT = replace(
    CAME, time_ns=AT_NS + 1500, direction="out", entry="xdp", hop="", length=len(UDP6) + 100, data=UDP6.hex()
)
DROPPED = replace(CAME, verdict="dropped", reason="drop_loop", hop="")


@pytest.fixture
def captured(operations: FakeOperations) -> FakeOperations:
    operations.captured = [CapturedPortion([CAME, WENT], 0), CapturedPortion([DROPPED], 3)]
    return operations


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are those of Greenwich."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("utc", "captured")
def test_a_frame_is_a_line(lasthop: Callable[..., Result]) -> None:
    result = lasthop("capture", "outside", "--count", "3")
    assert result.exit_code == 0
    tcp = "02:00:00:00:00:01 > 02:00:00:00:01:01 tcp 10.9.0.2:4242 > 203.0.113.80:80, 54 bytes"
    udp6 = "02:00:00:00:01:01 > 02:00:00:00:00:11 VLAN 100 udp [2001:db8::2]:53 > [2001:db8::80]:5353, 166 bytes"
    assert result.stdout.splitlines() == [
        f"22:13:20.123456  in  tc {tcp}: forwarded: forwarded_opening, from router",
        f"22:13:20.123458 out xdp {udp6}: forwarded: forwarded_opening",
        f"22:13:20.123456  in  tc {tcp}: dropped: drop_loop",
    ]
    assert result.stderr.splitlines() == [
        "capturing on leg outside; Ctrl-C ends it",
        "3 frames captured; 3 frames lost: more came than could be read",
    ]


def test_the_capture_is_closed_when_the_command_ends(lasthop: Callable[..., Result], captured: FakeOperations) -> None:
    lasthop("capture", "outside", "--count", "1", "--direction", "out")
    (capture,) = captured.captures
    assert (capture.leg, capture.directions) == ("outside", frozenset({"out"}))
    assert capture.closed.wait(10)


@pytest.mark.usefixtures("captured")
def test_scapy_reads_frames_times_lengths_and_comments(lasthop: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "outside.pcapng"
    assert lasthop("capture", "outside", "--count", "3", "--write", str(file)).stdout == ""
    with RawPcapNgReader(str(file)) as reader:
        read: list[tuple[bytes, Any]] = list(reader)
    assert [data for data, _ in read] == [TCP, UDP6, TCP]
    assert [about.wirelen for _, about in read] == [len(TCP), len(UDP6) + 100, len(TCP)]
    assert [(about.tshigh << 32) + about.tslow for _, about in read] == [AT_NS, AT_NS + 1500, AT_NS]
    assert {about.tsresol for _, about in read} == {10**9}
    assert read[0][1].comments == [b"forwarded: forwarded_opening, from router"]
    assert {about.ifname for _, about in read} == {b"eth0"}


@pytest.mark.usefixtures("captured")
def test_the_blocks_have_direction_and_verdict(lasthop: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / "outside.pcapng"
    lasthop("capture", "outside", "--count", "3", "--write", str(file))
    section, interface, *packets = blocks(file.read_bytes())
    assert section[0] == 0x0A0D0D0A
    assert interface[0] == 1
    assert options(interface[1][8:]) == {
        2: b"eth0", 3: b"leg outside, zone edge", 6: bytes.fromhex("020000000101"), 9: b"\t",
    }  # fmt: skip
    told = [options(body[20 + (len(body_data(body)) + 3) // 4 * 4 :]) for _, body in packets]
    assert [struct.unpack("<I", each[2])[0] for each in told] == [1, 2, 1]
    assert [struct.unpack("<Bq", each[7]) for each in told] == [(1, 7), (2, 4), (1, 2)]


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """(type, body) of each block; both its lengths are the same."""
    found = []
    while data:
        kind, length = struct.unpack_from("<II", data)
        assert data[length - 4 : length] == data[4:8]
        found.append((kind, data[8 : length - 4]))
        data = data[length:]
    return found


def next_block(stream: IO[bytes]) -> bytes:
    begin = stream.read(8)
    return begin + stream.read(struct.unpack("<II", begin)[1] - 8)


def body_data(body: bytes) -> bytes:
    return body[20 : 20 + struct.unpack_from("<I", body, 12)[0]]


def options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while data:
        code, length = struct.unpack_from("<HH", data)
        if code == 0:
            return found
        found[code] = data[4 : 4 + length]
        data = data[4 + (length + 3) // 4 * 4 :]
    raise AssertionError("no end of options")


def command(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The real program in a process of its own."""
    code = f"import pathlib; from lasthop.__main__ import main; main(pathlib.Path({str(directory)!r}))"
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    environment.pop("LASTHOP_DIRECTOR", None)
    return subprocess.Popen(
        [sys.executable, "-c", code, "capture", "outside", *arguments],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_a_whole_file(number: signal.Signals, tmp_path: Path) -> None:
    operations = sample()
    operations.captured = [CapturedPortion([CAME, WENT], 0)]
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path, "--write", "-") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.readline()
        whole = b"".join(next_block(process.stdout) for _ in range(4))
        process.send_signal(number)
        rest, told = process.stdout.read(), process.stderr.read()
        assert process.wait(30) == 0
        assert operations.captures[0].closed.wait(10)
    assert [kind for kind, _ in blocks(whole)] == [0x0A0D0D0A, 1, 6, 6]
    assert rest == b""
    assert told.startswith(b"2 frames captured")


def test_a_capturer_that_is_killed_leaves_no_capture(tmp_path: Path) -> None:
    operations = sample()
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()
        assert not operations.captures[0].closed.is_set()
        process.kill()
        assert operations.captures[0].closed.wait(10)


def test_tcpdump_reads_it_as_it_comes(tmp_path: Path) -> None:
    operations = sample()
    operations.captured = [CapturedPortion([CAME, WENT], 0)]
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path, "--write", "-") as process:
        tcpdump = subprocess.Popen(
            ["tcpdump", "-nqtl", "-c", "2", "-r", "-"], stdin=process.stdout, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        out, _ = tcpdump.communicate(timeout=30)
        process.kill()
    assert out.splitlines()[0] == "IP 10.9.0.2.4242 > 203.0.113.80.80: tcp 0"
    assert out.splitlines()[1].startswith("IP6 2001:db8::2.53 > 2001:db8::80.5353: UDP")


def test_a_director_that_stops_is_told_from_a_quiet_leg(tmp_path: Path) -> None:
    operations = sample()
    with ServedDirector(operations, socket_path("lb1", tmp_path)), command(tmp_path) as process:
        assert process.stderr is not None
        process.stderr.readline()
        operations.captures[0].close()
        assert process.wait(30) == 1
        assert b"the capture ended: the director has stopped; start it again" in process.stderr.read()


def test_a_file_that_cannot_be_written_is_said_to_be(lasthop: Callable[..., Result], tmp_path: Path) -> None:
    result = lasthop("capture", "outside", "--write", str(tmp_path / "no" / "where"))
    assert result.exit_code == 1
    assert "No such file or directory; name another file" in result.stderr
