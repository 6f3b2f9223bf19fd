"""An attacker who has read the source: without the secret, chosen addresses and ports do no more than random ones."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.oracles import placement
from tests.packet.crowds import SYN, client
from tests.packet.plans import firewalls, two_box

if TYPE_CHECKING:
    from tests.packet.rig import Rig

WAYS = 16
CHOSEN = 150
GUESSED = bytes(16)
TRUE = bytes(range(1, 17))


def key_of(number: int, zone: int) -> bytes:
    v4 = bytes(10) + b"\xff\xff"
    address, port = client(number)
    # The client's address, of 10.0.0.0/8, is the lower one.
    ports = port.to_bytes(2, "big") + (80).to_bytes(2, "big")
    return v4 + address + v4 + bytes([203, 0, 113, 80]) + ports + zone.to_bytes(2, "little") + bytes([6, 0])


@pytest.fixture(scope="module")
def colliding() -> list[int]:
    """Clients whose first and second bucket are among the same few, if the guessed secret were the true one."""
    found: list[int] = []
    number = 0
    while len(found) < CHOSEN:
        if max(placement.choices(GUESSED, key_of(number, 0), 81)[:2]) < 6:
            found.append(number)
        number += 1
    return found


def fullest(rig: Rig) -> int:
    """Connections in the fullest bucket."""
    return int(np.bincount(rig.live() // WAYS).max())


def inserted(rig: Rig, secret: bytes, clients: list[int]) -> int:
    rig.reset()
    rig.table["secret"] = np.frombuffer(secret, "u8")
    rig.publish(two_box(firewalls(1)))
    assert rig.publisher.zones.id_of("edge") == 0
    for number in clients:
        rig.run("outside", SYN(number))
    return fullest(rig)


def test_chosen_tuples_collide_only_for_who_knows_the_secret(rig: Rig, colliding: list[int]) -> None:
    rng = random.Random(1)
    assert len(rig.entries) // WAYS == 81
    at_random = max(inserted(rig, TRUE, rng.sample(range(1_000_000), CHOSEN)) for _ in range(10))
    assert inserted(rig, TRUE, colliding) <= at_random + 1
    assert int(rig.table["overflowed"][0]) == 0
    assert inserted(rig, GUESSED, colliding) == WAYS, "the attack works on a table whose secret is known"
    assert int(rig.table["overflowed"][0]) > 0
