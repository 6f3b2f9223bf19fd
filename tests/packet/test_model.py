"""Random frames through the data plane and through the model: after each, everything that can be seen is equal."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lasthop.lab.waiting import SLOWNESS
from tests.packet import steps
from tests.packet.duel import Duel
from tests.packet.worlds import WORLDS

if TYPE_CHECKING:
    from tests.packet.rig import Rig
    from tests.packet.worlds import World

#: Together 100,000 frames through tc and XDP, on a slow machine fewer; each world begins anew after some of them.
FRAMES = round(2_650 / SLOWNESS)
LONG = 900


@pytest.mark.parametrize("world", WORLDS, ids=[world.name for world in WORLDS])
def test_random_frames_do_what_the_model_says(rig: Rig, world: World) -> None:
    taken = lives = 0
    while taken < FRAMES:
        rng = random.Random(f"{lives} {rig.entry} {world.name}")
        long = min(LONG, FRAMES - taken)
        taken += Duel(rig, world, rig.entry).walk(steps.step(rng.choice, world) for _ in range(long))
        lives += 1


@st.composite
def sequences(draw: Any) -> tuple[World, list[steps.Step]]:
    """A world and a few steps in it."""
    world = draw(st.sampled_from(WORLDS))

    def pick(choices: Any) -> Any:
        return draw(st.sampled_from(choices))

    return world, [steps.step(pick, world) for _ in range(draw(st.integers(1, 20)))]


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(sequence=sequences())
def test_short_sequences_that_shrink_do_what_the_model_says(rig: Rig, sequence: tuple[World, list[steps.Step]]) -> None:
    world, taken = sequence
    Duel(rig, world, rig.entry).walk(taken)
