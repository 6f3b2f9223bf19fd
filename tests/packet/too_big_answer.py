"""What is sent in place of a packet that is too big, by docs/packets.md and RFC 792, 1191, 4443.

Must not be here: which packets are.
"""

from __future__ import annotations

QUOTES = {4: (576, 28), 6: (1280, 48)}
FRAGMENTATION_NEEDED, PACKET_TOO_BIG = bytes([3, 4]), bytes([2, 0])


def require(frame: bytes, answer: bytes, mtus: set[int]) -> None:
    """The answer goes back where the frame came from, in the name of its destination, and quotes it."""
    assert answer[:12] == frame[6:12] + frame[:6]
    packet, told = frame[14:], answer[14:]
    family = packet[0] >> 4
    most, headers = QUOTES[family]
    at = (12, 16, 20) if family == 4 else (8, 24, 40)
    assert told[at[0] : at[1]] == packet[at[1] : at[2]], "in the name of the destination"
    assert told[at[1] : at[2]] == packet[at[0] : at[1]]
    assert len(told) <= most
    assert told[headers:] == packet[: len(told) - headers], "it quotes the packet"
    message = told[headers - 8 :]
    assert message[:2] == (FRAGMENTATION_NEEDED if family == 4 else PACKET_TOO_BIG)
    assert int.from_bytes(message[4:8], "big") in mtus
    if family == 4:
        assert sums_up(told[:20])
        assert sums_up(message)
    else:
        pseudo = told[8:40] + len(message).to_bytes(4, "big") + bytes([0, 0, 0, 58])
        assert sums_up(pseudo + message)


def sums_up(data: bytes) -> bool:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF
