"""Fixtures of the tests through real topologies: what is built once per module and shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab.topology import Blueprint, Topology

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Topology]:
    """A topology with servers and directors running; the parameter is its blueprint."""
    blueprint = getattr(request, "param", Blueprint(offloads=False))
    with Topology(blueprint) as built:
        built.serve()
        yield built
