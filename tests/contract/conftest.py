"""The worlds that tests of `lasthop.dataplane` run in; see `tests.contract.dataplane_worlds`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.contract.dataplane_worlds import FakeWorld, KernelWorld, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def kernel_world() -> Iterator[KernelWorld]:
    """The kernel's world; the thread is back in its own namespace afterwards, and nothing is pinned."""
    with ExitStack() as stack:
        yield KernelWorld(stack)


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.root)])
def world(request: pytest.FixtureRequest) -> World:
    """Either world."""
    if request.param == "kernel":
        kernel: KernelWorld = request.getfixturevalue("kernel_world")
        return kernel
    return FakeWorld()
