"""Fixtures of the fault tests: what is built once per module and shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator

BLUEPRINT = Blueprint(firewalls=3, clients=4, balancing=Balancing(scheduler="rr", connections=20_000), offloads=False)


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    """A topology with servers and directors running."""
    with Topology(BLUEPRINT) as built:
        built.serve()
        yield built
