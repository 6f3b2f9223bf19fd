"""Captured frames as a pcapng file.

Owns its blocks (draft-ietf-opsawg-pcapng): a section, an interface for each leg, a packet for each frame. Written here
because dpkt, which reads such files for `lasthop explain`, writes a packet's length as that of the bytes it was cut to.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from lasthop.api.client import Report

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_ETHERNET = 1
_COMMENT = 1
_SECTION_APPLICATION = 4
_IF_NAME, _IF_DESCRIPTION, _IF_MAC, _IF_RESOLUTION = 2, 3, 6, 9
_NANOSECONDS = 9
_FLAGS, _VERDICT = 2, 7
_INBOUND, _OUTBOUND = 1, 2
#: epb_verdict: who judged, and what its program returned (include/uapi/linux/pkt_cls.h, bpf.h).
_JUDGES = {"tc": 1, "xdp": 2}
_RETURNED = {
    "tc": {"forwarded": 7, "kernel": -1, "dropped": 2},
    "xdp": {"forwarded": 4, "kernel": 2, "dropped": 1},
}


class PcapngWriter:
    """Writes frames of legs to a stream, each at once."""

    def __init__(self, output: BinaryIO, legs: list[Report], application: str) -> None:
        """`legs` have the fields of LegReport; each is an interface of the file, in their order."""
        self._output = output
        self._interfaces = {leg["name"]: number for number, leg in enumerate(legs)}
        header = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        self._write(_SECTION, header, [(_SECTION_APPLICATION, application.encode())])
        for leg in legs:
            self._write(
                _INTERFACE,
                struct.pack("<HHI", _ETHERNET, 0, 0),
                [
                    (_IF_NAME, leg["interface"].encode()),
                    (_IF_DESCRIPTION, f"leg {leg['name']}, zone {leg['zone']}".encode()),
                    (_IF_MAC, bytes.fromhex(leg["mac"].replace(":", ""))),
                    (_IF_RESOLUTION, bytes([_NANOSECONDS])),
                ],
            )

    def frame(self, frame: Report) -> None:
        """Write a frame, with the fields of CapturedFrame."""
        data = bytes.fromhex(frame["data"])
        at = frame["time_ns"]
        body = struct.pack(
            "<IIIII", self._interfaces[frame["leg"]], at >> 32, at & 0xFFFFFFFF, len(data), frame["length"]
        )
        returned = _RETURNED[frame["entry"]][frame["verdict"]]
        self._write(
            _PACKET,
            body + _aligned(data),
            [
                (_COMMENT, comment(frame).encode()),
                (_FLAGS, struct.pack("<I", _INBOUND if frame["direction"] == "in" else _OUTBOUND)),
                (_VERDICT, struct.pack("<Bq", _JUDGES[frame["entry"]], returned)),
            ],
        )

    def _write(self, kind: int, body: bytes, options: list[tuple[int, bytes]]) -> None:
        listed = b"".join(struct.pack("<HH", code, len(value)) + _aligned(value) for code, value in options if value)
        length = struct.pack("<I", 12 + len(body) + len(listed) + 4)
        block = struct.pack("<I", kind) + length + body + listed + bytes(4) + length
        rest = memoryview(block)
        while rest:  # standard output is unbuffered under PYTHONUNBUFFERED, and then writes what it can
            rest = rest[self._output.write(rest) :]


def comment(frame: Report) -> str:
    """What the file says of a frame beside its bytes."""
    hop = frame["hop"]
    told = f", {'to' if frame['direction'] == 'out' else 'from'} {hop}" if hop else ""
    return f"{frame['verdict']}: {frame['reason']}{told}"


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
