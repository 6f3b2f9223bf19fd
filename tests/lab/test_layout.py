"""Drawings and the configuration files written from them; nothing is built here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.config.load import load
from lasthop.errors import LabError
from lasthop.lab.director_files import Balancing, LegModes, configuration
from lasthop.lab.drawing import drawing
from lasthop.lab.layout import Shape, layout
from lasthop.lab.topology import Blueprint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("modes", list(LegModes))
def test_the_configuration_of_every_director_is_valid(shape: Shape, modes: LegModes, tmp_path: Path) -> None:
    drawn = layout(shape, firewalls=3, clients=4)
    for place in drawn.directors:
        file = tmp_path / f"{place.name}.toml"
        file.write_text(configuration(place, "lb-1234", shape, Balancing(modes, "rr", persistence_s=60)))
        loaded = load(file)
        assert loaded.director.name == "lb-1234"
        assert {leg.name for leg in loaded.legs} == {interface for interface, _ in place.legs}
        assert [server.name for server in loaded.services[0].real_servers] == ["fw1", "fw2", "fw3"]


def test_one_box_has_one_director_with_two_zones() -> None:
    (place,) = layout(Shape.ONE_BOX, firewalls=2, clients=4).directors
    assert sorted({zone for _, zone in place.legs}) == ["core", "edge"]
    assert len(place.legs) == 4


def test_no_two_ports_share_a_mac_address() -> None:
    for shape in Shape:
        macs = [port.mac for port in layout(shape, firewalls=20, clients=8).ports]
        assert len(macs) == len(set(macs))


@pytest.mark.parametrize("firewalls", [1, 2, 3, 4, 5, 7, 16, 64])
@pytest.mark.parametrize("shape", list(Shape))
def test_a_drawing_fits_into_a_terminal_of_100_columns(shape: Shape, firewalls: int) -> None:
    lines = drawing(layout(shape, firewalls, clients=8))
    assert max(map(len, lines)) <= 98
    assert any("fw1" in line for line in lines)
    assert any(f"fw{firewalls} " in line for line in lines)


@pytest.mark.parametrize(
    "blueprint",
    [
        Blueprint(firewalls=0),
        Blueprint(clients=0),
        Blueprint(firewalls=201),
        Blueprint(firewalls=1, no_last_hop=True),
        Blueprint(shape=Shape.ONE_BOX, no_last_hop=True),
    ],
)
def test_an_impossible_blueprint_is_refused_with_a_remedy(blueprint: Blueprint) -> None:
    with pytest.raises(LabError) as caught:
        blueprint.layout()
    assert caught.value.remedy
