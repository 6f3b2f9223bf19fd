"""Random and mutated frames: none crashes, none is changed beyond MAC addresses and tags, each leaves by one exit."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.waiting import SLOWNESS
from tests.packet import mutations, steps
from tests.packet.duel import Duel
from tests.packet.worlds import WORLDS

if TYPE_CHECKING:
    from tests.packet.rig import Rig
    from tests.packet.worlds import World

FRAMES = round(2_000 / SLOWNESS)
FUZZED = ("rr (1, 1, 1) 20", "ruled", "one box", "tagged", "neighbourly strict", "related", "narrow")


@pytest.mark.parametrize("world", [world for world in WORLDS if world.name in FUZZED], ids=lambda world: world.name)
def test_mutated_frames_do_what_the_model_says_of_them(rig: Rig, world: World) -> None:
    """The model says bytes, exit and verdict of whatever there is; what it cannot read is the kernel's."""
    rng = random.Random(f"{rig.entry} {world.name}")
    seeds = mutations.seeds()
    taken = 0
    while taken < FRAMES:
        duel = Duel(rig, world, rig.entry)
        taken += duel.walk(mutations.step(rng, world, seeds) for _ in range(FRAMES // 2))


def test_every_frame_that_is_the_seed_of_another_is_forwarded_as_it_is(rig: Rig) -> None:
    """Or mutating them would say little."""
    duel = Duel(rig, next(world for world in WORLDS if world.name == FUZZED[0]), rig.entry)
    for seed in mutations.seeds():
        assert duel.send(steps.Frame("outside", seed)).frame is not None, seed.hex()
