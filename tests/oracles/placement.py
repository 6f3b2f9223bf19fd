"""Where a key may be in the connection table: four buckets, a way and a tag, from the keyed hash."""

from __future__ import annotations

from tests.oracles.siphash import siphash13

_V4 = bytes(10) + b"\xff\xff"
_TURNS = (None, 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def message(key: bytes) -> bytes:
    """What of a key of 40 bytes is hashed: for two IPv4 addresses, only what is not the same in all of them."""
    low, high, rest = key[:16], key[16:32], key[32:]
    return low[12:] + high[12:] + rest if low.startswith(_V4) and high.startswith(_V4) else key


def tag(secret: bytes, key: bytes) -> int:
    """Never 0, which is a free way."""
    return siphash13(secret, message(key)) >> 32 | 1


def preferred_way(secret: bytes, key: bytes) -> int:
    """Where it goes in a bucket of 16 whose ways are free."""
    return siphash13(secret, message(key)) & 15


def choices(secret: bytes, key: bytes, buckets: int) -> list[int]:
    """The four buckets, the preferred one first."""
    hashed = siphash13(secret, message(key))
    spread = [hashed & 0xFFFFFFFF if turn is None else (hashed * turn & (1 << 64) - 1) >> 32 for turn in _TURNS]
    return [each * buckets >> 32 for each in spread]
