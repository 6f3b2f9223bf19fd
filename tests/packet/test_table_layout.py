"""Where connections are put: the keyed hash, the tag, and the bucket preferred while it has room to spare."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.oracles import placement, siphash
from tests.packet.frames import tcp
from tests.packet.plans import ROUTER, two_box

if TYPE_CHECKING:
    from tests.packet.rig import Rig

WAYS = 16
SPARE = 4


def python_secret(seed: int) -> bytes:
    """The key of CPython's hash() under PYTHONHASHSEED: Python/bootstrap_hash.c, lcg_urandom."""
    drawn = []
    for _ in range(16):
        seed = (seed * 214013 + 2531011) & 0xFFFFFFFF
        drawn.append(seed >> 16 & 0xFF)
    return bytes(drawn)


@pytest.mark.parametrize("seed", [1, 42, 4_000_000_000])
@pytest.mark.skipif(sys.hash_info.algorithm != "siphash13", reason="this Python hashes with another function")
def test_oracle_of_the_hash_agrees_with_another_implementation(seed: int) -> None:
    messages = [bytes(range(first, first + length)) for first in (0, 77) for length in (8, 16, 40)]
    script = f"print(*(hash(each) & (1 << 64) - 1 for each in {messages!r}))"
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert [siphash.siphash13(python_secret(seed), each) for each in messages] == [int(n) for n in done.stdout.split()]


@pytest.mark.parametrize("secret", [bytes(16), bytes(range(16)), b"\xff" * 16])
def test_connection_is_in_the_bucket_with_room_to_spare_and_in_its_way_if_that_is_free(rig: Rig, secret: bytes) -> None:
    rng = random.Random(secret)
    rig.table["secret"] = np.frombuffer(secret, "u8")
    rig.publish(two_box())
    tags = rig.maps["tags"].view(np.dtype((np.uint32, (WAYS,))))
    used: list[set[int]] = [set() for _ in tags]
    for _ in range(300):
        before = set(rig.live().tolist())
        source = f"198.51.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        rig.send("outside", tcp(source=source, sport=rng.randrange(1, 65536), dport=rng.randrange(1, 65536)), ROUTER)
        (slot,) = set(rig.live().tolist()) - before
        key = rig.entries["key"][slot].tobytes()
        first, second, *_ = placement.choices(secret, key, len(tags))
        full = WAYS - len(used[first]) < SPARE and len(used[second]) < len(used[first])
        bucket, preferred = second if full else first, placement.preferred_way(secret, key)
        way = preferred if preferred not in used[bucket] else min(set(range(WAYS)) - used[bucket])
        assert divmod(slot, WAYS) == (bucket, way)
        assert int(tags[bucket][way]) == placement.tag(secret, key)
        used[bucket].add(way)
    assert int(np.count_nonzero(tags)) == 300, "a tag stands for every connection, and for nothing else"
