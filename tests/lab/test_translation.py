"""Firewalls that translate addresses, with every scheduler: symmetric for every connection.

Whoever chooses the firewall for a response by a hash of its addresses loses here: they differ on the two sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lasthop.lab import symmetry
from lasthop.lab.director_files import Balancing
from lasthop.lab.layout import INNER, INSIDE, OUTER, OUTSIDE, WWW_ADDRESS
from lasthop.lab.topology import Blueprint
from lasthop.lab.traffic import open_http
from lasthop.policy.schedulers import SCHEDULERS
from tests.lab.settings import SHORT_TIMEOUTS, add_to_files, edit, wait_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.topology import Topology

CONNECTIONS = 48
FROM_INSIDE = 24
HIDDEN = WWW_ADDRESS + 7
TABLES = {
    "source": """
        table ip translation {
            chain sources { type nat hook postrouting priority srcnat; oifname { "inner", "outer" } masquerade; }
        }
    """,
    "destination": f"""
        table ip translation {{
            chain destinations {{
                type nat hook prerouting priority dstnat; iifname "outer" ip daddr {WWW_ADDRESS} dnat to {HIDDEN};
            }}
        }}
    """,
}

pytestmark = pytest.mark.parametrize(
    "lab", [Blueprint(clients=16, balancing=Balancing(connections=20_000))], indirect=True, scope="module"
)


@pytest.fixture(autouse=True, scope="module")
def forgetful(lab: Topology) -> Iterator[None]:
    """A test begins soon with an empty table; the routers know the way to the firewalls' own addresses."""
    add_to_files(lab, SHORT_TIMEOUTS)
    edit(lab, *({"kind": "weigh", "server": name, "weight": CONNECTIONS} for name in lab.layout.firewalls))
    lab.run("ro", "ip", "route", "add", str(OUTER), "via", str(OUTSIDE[2]))
    lab.run("ri", "ip", "route", "add", str(INNER), "via", str(INSIDE[2]))
    lab.run("www", "ip", "address", "add", f"{HIDDEN}/24", "dev", "eth0")
    yield
    assert [director.client.status()["unexpected"] for director in lab.directors.values()] == [{}, {}]


@pytest.fixture(params=TABLES)
def translated(lab: Topology, request: pytest.FixtureRequest) -> Iterator[str]:
    """All firewalls translate the source, or the destination."""
    for name in lab.layout.firewalls:
        lab.run(name, "nft", TABLES[request.param])
    yield request.param
    for name in lab.layout.firewalls:
        lab.run(name, "nft", "delete", "table", "ip", "translation")


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_each_connection_comes_back_through_the_firewall_that_translated_it(
    lab: Topology, translated: str, scheduler: str
) -> None:
    wait_empty(lab)
    edit(lab, {"kind": "edit_service", "service": "FWM 1", "scheduler": scheduler, "scheduler_flags": []})
    attempts = open_http(lab.namespace("client"), lab.layout.outwards, CONNECTIONS, path="/bytes/3000")
    if translated == "source":
        attempts += open_http(lab.namespace("www"), lab.layout.inwards, FROM_INSIDE, path="/bytes/3000")
    judged = symmetry.judge(lab, attempts)
    assert judged.holds, judged.asymmetric[:5]
    if scheduler not in {"fo", "dh", "lblc", "lblcr", "ovf"}:
        assert len(set(judged.firewall_of.values())) > 1, "one firewall alone proves little"
