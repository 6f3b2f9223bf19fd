"""Packets of connections drawn at random, sent through a program by BPF_PROG_TEST_RUN.

Owns bench/draw.bpf.c, which turns the one frame that is repeated into another connection's each time.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

import numpy as np

from bench.variants import build_object
from lasthop.dataplane.btf import Btf
from lasthop.dataplane.libbpf import test_run
from lasthop.dataplane.loader import load


@dataclass(frozen=True, slots=True)
class Packets:
    """A kind of packet that is drawn: which leg it meets, its MAC addresses and its TCP flags."""

    ifindex: int
    macs: bytes
    flags: int
    response: bool = False

    @property
    def frame(self) -> bytes:
        """Ethernet, IPv4 and TCP; the client's address and port, and the MACs, are drawn over."""
        server = bytes([203, 0, 113, 80])
        addresses = server + bytes(4) if self.response else bytes(4) + server
        ports = (80, 0) if self.response else (0, 80)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + addresses
        tcp = struct.pack("!HHIIBBHHH", *ports, 1, 1, 0x50, self.flags, 65535, 0, 0)
        return self.macs + b"\x08\x00" + ip + tcp + bytes(6)


class Drawer:
    """One drawing program; one processor at a time uses it."""

    def __init__(self) -> None:
        """Load it. Raises DataPlaneError."""
        made = build_object("draw.bpf.c")
        self._loaded = load(None, 1, made)
        self._jumps = {kind: self._loaded.maps[f"jump_{kind}"] for kind in ("tc", "xdp")}
        self._draw = self._loaded.maps["drawn"].view(Btf(made).struct("draw"))
        self._draw["random"] = time.time_ns()

    def close(self) -> None:
        """Unload it."""
        self._loaded.close()

    def run(
        self, kind: str, program: int, packets: Packets, repeat: int, *, first: int, count: int, in_order: bool = False
    ) -> int:
        """Send `repeat` packets of connections `first` to `first + count - 1`; the verdict on the last one.

        `program` is a descriptor of a program of `kind` tc or xdp. `in_order`: from the first on, as many as are sent.
        """
        self._draw["macs"] = np.frombuffer(packets.macs, "u1")
        self._draw["response"], self._draw["in_order"] = packets.response, in_order
        self._draw["first"], self._draw["next"], self._draw["count"] = first, first, count
        self._jumps[kind].update(bytes(4), program.to_bytes(4, "little"))
        frame = packets.frame
        context = tc_context(packets.ifindex) if kind == "tc" else xdp_context(packets.ifindex, len(frame))
        return test_run(self._loaded.programs[f"draw_{kind}"], frame, context, repeat=repeat)[0]


def tc_context(ifindex: int) -> bytes:
    """``struct __sk_buff`` with the interface a packet came in on."""
    return struct.pack("40xI148x", ifindex)


def xdp_context(ifindex: int, length: int) -> bytes:
    """``struct xdp_md`` of a frame on its receiving interface."""
    return struct.pack("6I", 0, length, 0, ifindex, 0, 0)
