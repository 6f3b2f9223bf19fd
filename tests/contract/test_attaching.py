"""How the legs of a director are attached, and what it says of that."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.model.leg import Leg
from tests.contract.dataplane_worlds import LEGS, NO_XDP, plan

if TYPE_CHECKING:
    from tests.contract.dataplane_worlds import KernelWorld

pytestmark = pytest.mark.root


def test_why_a_leg_that_may_choose_goes_by_tc_alone_is_logged(
    kernel_world: KernelWorld, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    kernel_world.links[NO_XDP] = replace(kernel_world.links[NO_XDP], virtual=False)
    legs = (*LEGS, Leg("stubborn", NO_XDP, "edge"))
    kernel_world.dataplane.publish(plan(kernel_world, legs=legs))
    said = [record.getMessage() for record in caplog.records if "by tc alone" in record.getMessage()]
    assert said == [
        f"leg stubborn goes by tc alone: can't attach to leg 'stubborn' ({NO_XDP}): driver has no native XDP"
    ]
