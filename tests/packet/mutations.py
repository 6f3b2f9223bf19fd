"""What fuzzing makes of frames: bytes flipped, cut, put in, lengths that lie, chains of headers, tags.

Must not be here: what becomes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.packet import frames, frames6, steps, wire
from tests.packet.plans import ROUTER, mac_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.packet.worlds import World

#: The shortest frame that BPF_PROG_TEST_RUN takes, by ethertype.
LEAST = {wire.IPV4: 34, wire.IPV6: 54}
SHORTEST, LONGEST = 14, 1500
#: Bytes that mean something where an ethertype, a protocol, a length or a flag is.
TELLING = (
    0,
    1,
    4,
    5,
    6,
    17,
    41,
    43,
    44,
    47,
    50,
    51,
    58,
    59,
    60,
    0x45,
    0x46,
    0x4F,
    0x60,
    0x81,
    0x86,
    0x88,
    132,
    135,
    255,
)


def seeds() -> list[bytes]:
    """The packets that the tests are made of, as frames of the router."""
    tcp, udp = frames.tcp("PA") / b"data", frames.udp()
    made = [
        tcp, udp, frames.sctp(), frames.sctp("COOKIE_ECHO"), frames.echo(), frames.tcp(options=[frames.OPTIONS]),
        frames.error(frames.reply(tcp), "10.9.9.9"), frames.error(frames.reply(udp), "10.9.9.9", 3, 4, 28),
        frames6.tcp6(), frames6.udp6(), frames6.sctp6(), frames6.echo6(),
        *(frames6.tcp6(extension=each) for each in frames6.EXTENSIONS.values()),
        *(frames6.error6(frames6.back(frames6.tcp6()), "2001:db8:9::9", kind) for kind in frames6.ERRORS6),
        *frames6.fragments6(frames6.udp6() / bytes(400), 160, 7),
    ]  # fmt: skip
    return [wire.ethernet(mac_of("outside"), ROUTER, (), bytes(each)) for each in made]


def step(rng: random.Random, world: World, from_: list[bytes]) -> steps.Step:
    """A frame of a world or of those given, mostly mutated."""
    made = steps.frame(rng.choice, world)
    raw = rng.choice(from_) if rng.random() < 0.4 and made.interface == "outside" else made.raw
    return steps.Frame(made.interface, mutated(rng, raw) if rng.random() < 0.7 else raw)


def mutated(rng: random.Random, frame: bytes) -> bytes:
    """A frame to which one to four things were done, as long as BPF_PROG_TEST_RUN takes it."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        frame = rng.choice(WAYS)(rng, frame)
        frame += bytes(max(0, SHORTEST - len(frame)))
    frame = frame[:LONGEST]
    least = max(SHORTEST, LEAST.get(int.from_bytes(frame[12:14], "big"), 0))
    return frame + bytes(max(0, least - len(frame)))


def _flip(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(len(frame))
    return frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1 :]


def _say(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(12, max(len(frame), 13))
    return frame[:at] + bytes([rng.choice(TELLING)]) + frame[at + 1 :]


def _cut(rng: random.Random, frame: bytes) -> bytes:
    return frame[: rng.randrange(SHORTEST, len(frame) + 1)]


def _cut_out(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(12, len(frame) + 1)
    return frame[:at] + frame[at + rng.randrange(1, 9) :]


def _put_in(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(12, len(frame) + 1)
    return frame[:at] + rng.randbytes(rng.randrange(1, 9)) + frame[at:]


def _repeat(rng: random.Random, frame: bytes) -> bytes:
    at = rng.randrange(14, len(frame) + 1)
    length = rng.choice((2, 4, 8, 16, 20, 40))
    return frame[: at + length] + frame[at : at + length] * rng.randrange(1, 4) + frame[at + length :]


def _lie(rng: random.Random, frame: bytes) -> bytes:
    """About the length of the packet, or of what is in it."""
    at = rng.choice((16, 18, 38, 48, 58, 68))
    length = rng.choice((0, 1, 19, 20, 28, 40, len(frame) - 14, len(frame) - 13, 0x7FFF, 0xFFFF))
    return frame[:at] + max(length, 0).to_bytes(2, "big") + frame[at + 2 :]


def _extend(rng: random.Random, frame: bytes) -> bytes:
    """A chain of extension headers behind IPv6's, with a length that fits."""
    if frame[12:14] != b"\x86\xdd" or len(frame) < 54:
        return frame
    names = [rng.choice(list(wire.EXTENSIONS)) for _ in range(rng.choice((1, 2, 8, 9)))]
    chain, following = b"", frame[20]
    for name in reversed(names):
        kind, raw = wire.EXTENSIONS[name]
        chain, following = bytes([following]) + raw[1:] + chain, kind
    length = (len(frame) - 54 + len(chain)) & 0xFFFF
    return frame[:18] + length.to_bytes(2, "big") + bytes([following]) + frame[21:54] + chain + frame[54:]


def _tag(rng: random.Random, frame: bytes) -> bytes:
    tag = rng.choice((wire.DOT1Q, wire.DOT1AD)).to_bytes(2, "big")
    return frame[:12] + tag + rng.choice((0, 5, 7, 100, 200, 0xE000)).to_bytes(2, "big") + frame[12:]


def _noise(rng: random.Random, frame: bytes) -> bytes:
    return frame[:14] + rng.randbytes(rng.randrange(0, 200))


WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *[_flip] * 4, *[_say] * 4, _cut, _cut_out, _put_in, _repeat, _lie, _lie, _extend, _tag, _noise,
)  # fmt: skip
