"""The watch: what happens on the network reaches the director, settled, and nothing ends it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.director.watch import NetworkWatch
from lasthop.errors import NetworkError
from lasthop.lab.waiting import wait_until
from lasthop.network.fake import FakeNetwork
from tests.unit.director_worlds import (
    ETH0,
    ETH1,
    FW1,
    FW1_MAC,
    FW2,
    FW2_MAC,
    OTHER_MAC,
    ROUTER,
    ROUTER_MAC,
    leg,
    server,
    started,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from lasthop.director.director import Director
    from lasthop.model.real_server import Address
    from lasthop.network.interface import Observation


class Observed(FakeNetwork):
    """A network that counts how often it is read, and can refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.refusal: NetworkError | None = None
        self.resolving_refusal: NetworkError | None = None

    def observe(self) -> Observation:
        self.reads += 1
        if self.refusal is not None:
            raise self.refusal
        return super().observe()

    def keep_resolved(self, wanted: frozenset[tuple[int, Address]]) -> None:
        super().keep_resolved(wanted)
        if self.resolving_refusal is not None:
            raise self.resolving_refusal


UNREADABLE = NetworkError("can't read links: they changed", "try again")
TABLE_FULL = NetworkError("can't have 10.0.1.11 resolved on interface 3: No buffer space available", "raise gc_thresh3")


@pytest.fixture
def network() -> Observed:
    """Both interfaces, and everybody answers."""
    made = Observed()
    made.put_link(ETH0)
    made.put_link(ETH1)
    made.answer("eth0", ROUTER, ROUTER_MAC)
    made.answer("eth1", FW1, FW1_MAC)
    made.answer("eth1", FW2, FW2_MAC)
    return made


@pytest.fixture
def watch(network: Observed) -> Iterator[NetworkWatch]:
    with closing(NetworkWatch(lambda: network)) as made:
        yield made


@asynccontextmanager
async def following(watch: NetworkWatch, director: Director) -> AsyncIterator[asyncio.Task[None]]:
    """The watch at work."""
    task = asyncio.create_task(watch.follow(director))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], object]) -> None:
    assert await asyncio.to_thread(wait_until, condition, timeout=10)


def test_real_servers_are_resolved_because_they_are_wanted(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        assert director.status().unresolved == ["fw1", "fw2", "router"]
        async with following(watch, director):
            await until(lambda: not director.status().unresolved)
            network.answer("eth1", FW1, OTHER_MAC)
            await until(lambda: server(director, "fw1").mac == OTHER_MAC)

    asyncio.run(scene())


def test_after_a_link_was_down_its_real_servers_are_wanted_again(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            await until(lambda: not director.status().unresolved)
            network.put_link(replace(ETH1, up=False))
            await until(lambda: director.status().unresolved == ["fw1", "fw2"])
            network.put_link(ETH1)
            network.answer("eth1", FW1, FW1_MAC)
            network.answer("eth1", FW2, FW2_MAC)
            await until(lambda: not director.status().unresolved)

    asyncio.run(scene())


def test_an_interface_that_is_made_again_is_followed_there(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            network.remove_link("eth1")
            await until(lambda: leg(director, "firewalls").state == "missing")
            network.put_link(replace(ETH1, ifindex=9))
            network.answer("eth1", FW1, FW1_MAC)
            await until(lambda: server(director, "fw1").health == "up")

    asyncio.run(scene())


def test_many_changes_at_once_are_looked_at_together(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            await until(lambda: not director.status().unresolved)
            reads = network.reads
            for number in range(200):
                network.answer("eth1", FW1, f"02:00:00:00:02:{number:02x}")
            await until(lambda: server(director, "fw1").mac == "02:00:00:00:02:c7")
            assert network.reads - reads <= 10

    asyncio.run(scene())


def test_a_change_between_the_start_and_the_watch_is_not_lost(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        network.put_link(replace(ETH0, mtu=1400))
        async with following(watch, director):
            await until(lambda: leg(director, "outside").mtu == 1400)

    asyncio.run(scene())


def test_a_network_that_cannot_be_read_is_noted_and_read_again(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director) as task:
            await until(lambda: not director.status().unresolved)
            network.refusal = UNREADABLE
            network.put_link(replace(ETH0, mtu=1400))
            await until(lambda: director.status().problems == [str(UNREADABLE)])
            assert not task.done()
            network.refusal = None
            network.put_link(replace(ETH0, mtu=1300))
            await until(lambda: leg(director, "outside").mtu == 1300 and not director.status().problems)

    asyncio.run(scene())


def test_a_refusal_to_resolve_is_noted_and_does_not_end_the_watch(network: Observed, watch: NetworkWatch) -> None:
    network.resolving_refusal = TABLE_FULL

    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            await until(lambda: director.status().problems == [str(TABLE_FULL)])
            network.resolving_refusal = None
            network.put_link(replace(ETH0, mtu=1300))
            await until(lambda: leg(director, "outside").mtu == 1300 and not director.status().problems)

    asyncio.run(scene())


def test_a_refusal_to_resolve_that_lasts_is_logged_once(
    network: Observed, watch: NetworkWatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="lasthop.director.director")
    network.resolving_refusal = TABLE_FULL

    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            for mtu in (1400, 1300, 1200):
                network.put_link(replace(ETH0, mtu=mtu))
                await until(lambda mtu=mtu: leg(director, "outside").mtu == mtu)  # type: ignore[misc]
                await until(lambda: director.status().problems == [str(TABLE_FULL)])

    asyncio.run(scene())
    said = [record.getMessage() for record in caplog.records if "real server" not in record.getMessage()]
    assert said == [str(TABLE_FULL)]


def test_the_watch_can_be_ended_and_begun_again(network: Observed, watch: NetworkWatch) -> None:
    async def scene() -> None:
        director, _ = started(watch.observe())
        async with following(watch, director):
            await until(lambda: not director.status().unresolved)
        network.answer("eth1", FW1, OTHER_MAC)
        async with following(watch, director):
            await until(lambda: server(director, "fw1").mac == OTHER_MAC)

    asyncio.run(scene())


def test_a_network_that_cannot_be_opened_is_an_error_at_once() -> None:
    def refuse() -> FakeNetwork:
        raise UNREADABLE

    with pytest.raises(NetworkError, match="can't read links"):
        NetworkWatch(refuse)
