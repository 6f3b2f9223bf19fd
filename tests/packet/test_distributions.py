"""How a hundred thousand connections are spread by each scheduler, through the program itself."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from lasthop.policy.schedulers import SCHEDULERS
from tests.packet.frames import tcp
from tests.packet.plans import FW, ROUTER, firewalls, mac_of, two_box
from tests.packet.rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 100_000
WEIGHTS = [10_000, 20_000, 30_000, 40_000]
EVEN, BY_WEIGHT = (0.25, 0.25, 0.25, 0.25), (0.1, 0.2, 0.3, 0.4)

#: Share of each of four real servers of `WEIGHTS`, and how far from it the connections may be spread.
SHARES = {
    "rr": (EVEN, 0),
    "wrr": (BY_WEIGHT, 0),
    "lc": (EVEN, 0),
    "wlc": (BY_WEIGHT, 0.001),
    "sed": (BY_WEIGHT, 0.001),
    "nq": (BY_WEIGHT, 0.001),
    "lblc": (BY_WEIGHT, 0.02),
    "lblcr": (BY_WEIGHT, 0.02),
    "fo": ((0, 0, 0, 1), 0),
    # One more than its weight, from the highest weight on.
    "ovf": ((0.09997, 0.20001, 0.30001, 0.40001), 0),
    "twos": (BY_WEIGHT, 0.01),
    # A slot of 256 is a share of 0.004, and addresses do not fall evenly on them.
    "sh": (BY_WEIGHT, 0.03),
    "dh": (EVEN, 0.03),
    "mh": (BY_WEIGHT, 0.02),
    "rendezvous": (EVEN, 0.06),
}


@pytest.fixture(scope="module")
def roomy(namespace: None) -> Iterator[Rig]:
    """A table so large that all of them may be half-open."""
    made = Rig(320_000)
    yield made
    made.close()


def test_every_scheduler_is_here() -> None:
    assert SHARES.keys() == SCHEDULERS.keys()


@pytest.mark.parametrize("scheduler", SHARES)
def test_connections_are_spread_as_the_scheduler_promises(roomy: Rig, scheduler: str) -> None:
    roomy.reset()
    weights = [1, 2, 3, 4] if scheduler in {"wrr", "sh"} else WEIGHTS
    roomy.publish(two_box(firewalls(weights=weights), scheduler))
    rng = random.Random(scheduler)
    frame = opening()
    chosen: Counter[bytes] = Counter()
    for number in range(CONNECTIONS):
        frame[26:30] = (0x0B00_0000 + rng.getrandbits(24)).to_bytes(4, "big")
        frame[30:34] = (0x5000_0000 + rng.getrandbits(24)).to_bytes(4, "big")
        frame[34:36] = (number % 60_000 + 1).to_bytes(2, "big")
        chosen[taken(roomy, frame)] += 1
    require_shares(chosen, *SHARES[scheduler])


@pytest.mark.parametrize("scheduler", ["sh", "mh"])
def test_one_pair_of_hosts_is_spread_by_its_ports_where_a_flag_says_so(roomy: Rig, scheduler: str) -> None:
    frame = opening()
    for flags in ((), (f"{scheduler}-port",)):
        roomy.reset()
        roomy.publish(two_box(firewalls(weights=[1, 2, 3, 4]), scheduler, scheduler_flags=flags))
        chosen: Counter[bytes] = Counter()
        for number in range(CONNECTIONS if flags else 100):
            frame[34:36] = (number % 60_000 + 1).to_bytes(2, "big")
            frame[36:38] = (80 + number // 60_000).to_bytes(2, "big")
            chosen[taken(roomy, frame)] += 1
        if flags:
            require_shares(chosen, *SHARES[scheduler])
        else:
            assert len(chosen) == 1, "by addresses alone"


def opening() -> bytearray:
    """A SYN from the router, whose addresses and ports are there to be changed."""
    head = bytes.fromhex((mac_of("outside") + ROUTER).replace(":", "")) + b"\x08\x00"
    return bytearray(head + bytes(tcp()))


def taken(rig: Rig, frame: bytearray) -> bytes:
    """The MAC address a frame is forwarded to."""
    verdict, after = rig.run("outside", bytes(frame))
    assert verdict == "forwarded"
    return after[:6]


def require_shares(chosen: Counter[bytes], shares: tuple[float, ...], tolerance: float) -> None:
    for mac, share in zip(FW, shares, strict=False):
        count = chosen[bytes.fromhex(mac.replace(":", ""))]
        assert abs(count / CONNECTIONS - share) <= tolerance + 1e-9, (mac, count)
