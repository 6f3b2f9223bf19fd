"""The drawings run from the files in examples/: only the director's name and the interfaces are the lab's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.layout import Shape
from lasthop.lab.ping import echo_icmp
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import echo_udp, open_http

if TYPE_CHECKING:
    from lasthop.lab.director_process import DirectorProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Shape of the drawing -> director of the lab -> example.
DRAWINGS = {
    Shape.TWO_BOX: {"lb1": "lb1.toml", "lb2": "lb2.toml"},
    Shape.ONE_BOX: {"lb": "one-box.toml"},
}


def at_the_lab(example: str, director: DirectorProcess) -> str:
    """An example with the name of a director of the lab, and for each leg the lab's interface of that leg."""
    text = (EXAMPLES / example).read_text(encoding="utf-8")
    legs = tomllib.loads(director.file.read_text(encoding="utf-8"))["leg"]
    interfaces = {leg["name"]: leg["interface"] for leg in legs}
    text = re.sub(
        r'(?m)^name = "(.*?)"\ninterface = ".*?"',
        lambda found: f'name = "{found[1]}"\ninterface = "{interfaces[found[1]]}"',
        text,
    )
    return re.sub(r'(?m)\A(.*?)^name = ".*?"', rf'\1name = "{director.name}"', text, count=1, flags=re.DOTALL)


@pytest.mark.parametrize("shape", list(DRAWINGS))
def test_a_drawing_works_from_its_example_in_both_directions(shape: Shape) -> None:
    with Topology(Blueprint(shape=shape, balancing=Balancing())) as lab:
        lab.serve()
        for name, example in DRAWINGS[shape].items():
            director = lab.directors[name]
            text = at_the_lab(example, director)
            director.end()
            director.detach()
            director.file.write_text(text, encoding="utf-8")
            director.start()
        for director in lab.directors.values():
            director.wait_ready()
        client, www = lab.namespace("client"), lab.namespace("www")
        attempts = open_http(client, lab.layout.outwards, 60) + open_http(www, lab.layout.inwards, 60)
        attempts += echo_udp(client, lab.layout.outwards, 20) + echo_icmp(client, lab.layout.outwards, 20)
        failed = [f"{attempt}: {attempt.problem}" for attempt in attempts if not attempt.completed]
        assert not failed, (failed[:5], len(failed))
        judged = symmetry.judge(lab, attempts)
        assert judged.holds, judged.asymmetric[:5]
        assert len(set(judged.firewall_of.values())) > 1
