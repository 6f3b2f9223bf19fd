"""What a resize of the connection table does in every implementation, and how the kernel's survives its director."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.pins import Pins
from lasthop.dataplane.resize import Phase
from lasthop.errors import DataPlaneError
from lasthop.lab.waiting import wait_until
from tests.contract.dataplane_worlds import CLIENT, CONNECTIONS, FW1_MAC, PATIENCE_S, hop_of, plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tests.contract.dataplane_worlds import KernelWorld, World

LARGER, SMALLER = 20_000, 1024
PORTS = range(1, 25)
#: More than a resize of this world takes.
ENOUGH = 40


def opened(world: World, ports: Sequence[int] = PORTS) -> None:
    """A connection from each port."""
    for port in ports:
        world.arrive((CLIENT[0], port))


def settled(world: World) -> None:
    """Do the resize to its end."""
    for _ in range(ENOUGH):
        if world.dataplane.resize_step() is None:
            return
    raise AssertionError("the resize goes on and on")


def active(world: World) -> dict[str, int]:
    """Live connections by real server of FWM 1."""
    loads = world.dataplane.load().items()
    return {name: load.active + load.inactive for (label, name), load in loads if label == "FWM 1"}


@pytest.mark.parametrize("connections", [LARGER, SMALLER])
def test_a_resize_keeps_every_connection_where_it_is(world: World, connections: int) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    world.dataplane.sweep()
    before, used = active(world), hop_of(world, FW1_MAC).connections
    world.dataplane.resize(connections)
    settled(world)
    size = world.dataplane.sweep()
    assert (size.connections, size.maximum) == (len(PORTS), connections)
    assert active(world) == before
    assert hop_of(world, FW1_MAC).connections == used
    opened(world, [99])
    assert world.dataplane.sweep().connections == len(PORTS) + 1


def test_a_resize_tells_how_far_it_is(world: World) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    assert world.dataplane.resizing is None
    world.dataplane.resize(LARGER)
    before = world.dataplane.resizing
    assert before is not None
    assert (before.before, before.after, before.moved, before.refused) == (CONNECTIONS, LARGER, 0, 0)
    told = [before]
    while (progress := world.dataplane.resize_step()) is not None:
        told.append(progress)
        assert world.dataplane.sweep().connections == len(PORTS), "they are counted in whichever table they are"
    moved = [each.moved for each in told]
    assert (moved, moved[-1]) == (sorted(moved), len(PORTS))
    assert world.dataplane.resizing is None


def test_a_resize_to_the_size_there_is_does_nothing(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.dataplane.resize(CONNECTIONS)
    assert world.dataplane.resizing is None
    assert world.dataplane.resize_step() is None


def test_a_second_resize_is_refused_until_the_first_is_done(world: World) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    world.dataplane.resize(LARGER)
    world.dataplane.resize_step()
    with pytest.raises(DataPlaneError, match=f"to 8000 connections: it is being resized to {LARGER}"):
        world.dataplane.resize(8000)
    settled(world)
    world.dataplane.resize(SMALLER)
    settled(world)
    assert world.dataplane.sweep().maximum == SMALLER


def test_connections_that_open_while_the_table_is_resized_are_kept_too(world: World) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    world.dataplane.resize(LARGER)
    port = 100
    while world.dataplane.resize_step() is not None:
        port += 1
        opened(world, [port])
    assert world.dataplane.sweep().connections == len(PORTS) + port - 100


def test_legs_and_real_servers_may_change_while_the_table_is_resized(world: World) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    world.dataplane.resize(LARGER)
    for firewalls in (("10.0.1.11",), ("10.0.1.11", "10.0.1.12")) * 3:
        world.dataplane.resize_step()
        world.dataplane.publish(plan(world, firewalls=firewalls))
    settled(world)
    assert world.dataplane.sweep().connections == sum(active(world).values()) == len(PORTS)


@pytest.mark.parametrize("steps", range(1, 16))
def test_a_later_director_goes_on_with_a_resize_from_wherever_it_is(world: World, steps: int) -> None:
    world.dataplane.publish(plan(world))
    opened(world)
    before = active(world)
    world.dataplane.resize(LARGER)
    for _ in range(steps):
        world.dataplane.resize_step()
    world.reopen()
    opened(world, [100])
    world.dataplane.publish(plan(world))
    opened(world, [101])
    settled(world)
    size = world.dataplane.sweep()
    assert (size.connections, size.maximum) == (len(PORTS) + 2, LARGER)
    assert sum(active(world).values()) == sum(before.values()) + 2


# The kernel's alone.


def phase(world: KernelWorld) -> Phase:
    """How far the resize is."""
    return Phase(int(world.dataplane._publisher.live["resize_phase"][0]))


def until_phase(world: KernelWorld, wanted: Phase) -> None:
    """Step until the resize is in a phase."""
    for _ in range(ENOUGH):
        if phase(world) is wanted:
            return
        world.dataplane.resize_step()
    raise AssertionError("the phase never came")


def entries(world: KernelWorld) -> NDArray[Any]:
    """The live entries of both tables."""
    live = np.uint64(abi.enum("connection_flag")["CONNECTION_LIVE"] << 8)
    dtype = abi.types().struct("connection")
    tables = [world.dataplane._loaded.maps[name].view(dtype) for name in ("entries", "next_entries")]
    return np.concatenate([table[table["word"] & live != 0] for table in tables])


def pinned(world: KernelWorld) -> set[str]:
    """Names of the pinned maps of connection tables."""
    return {path.name for path in (world.pins / "maps").iterdir()} & {"tags", "entries", "next_tags", "next_entries"}


@pytest.mark.root
def test_packets_of_every_phase_are_counted_once_in_the_one_entry_of_their_connection(
    kernel_world: KernelWorld,
) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world)
    rounds = 1
    kernel_world.dataplane.resize(LARGER)
    while kernel_world.dataplane.resize_step() is not None:
        opened(kernel_world)
        rounds += 1
    found = entries(kernel_world)
    assert len(found) == len(PORTS)
    assert rounds > 3
    assert wait_until(lambda: entries(kernel_world)["packets"].sum() == len(PORTS) * rounds, timeout=PATIENCE_S)
    assert set(entries(kernel_world)["packets"][:, 0].tolist()) == {rounds}


@pytest.mark.root
def test_a_resize_leaves_the_pins_of_one_table(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    assert pinned(kernel_world) == {"tags", "entries"}
    kernel_world.dataplane.resize(LARGER)
    kernel_world.dataplane.resize_step()
    assert pinned(kernel_world) == {"tags", "entries", "next_tags", "next_entries"}
    settled(kernel_world)
    assert pinned(kernel_world) == {"tags", "entries"}
    assert kernel_world.dataplane._loaded.maps["entries"].max_entries >= LARGER


@pytest.mark.root
@pytest.mark.parametrize("renamed", [("tags",), ("tags", "entries")])
def test_a_switch_that_was_cut_short_is_finished_by_the_next_director(
    kernel_world: KernelWorld, renamed: tuple[str, ...]
) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world)
    kernel_world.dataplane.resize(LARGER)
    until_phase(kernel_world, Phase.SWITCH)
    maps = Pins(kernel_world.name).maps
    for name in renamed:
        (maps / f"next_{name}").rename(maps / name)
    kernel_world.reopen()
    assert (pinned(kernel_world), phase(kernel_world)) == ({"tags", "entries"}, Phase.NONE)
    opened(kernel_world, [100])
    kernel_world.dataplane.publish(plan(kernel_world))
    size = kernel_world.dataplane.sweep()
    assert (size.connections, size.maximum) == (len(PORTS) + 1, LARGER)


@pytest.mark.root
def test_a_resize_that_ended_before_its_table_was_made_is_called_off(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.dataplane.resize(LARGER)
    assert phase(kernel_world) is Phase.LOOK
    kernel_world.reopen()
    assert (phase(kernel_world), kernel_world.dataplane.resizing) == (Phase.NONE, None)


@pytest.mark.root
def test_a_resize_whose_first_map_alone_was_made_goes_on(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world)
    kernel_world.dataplane.resize(LARGER)
    kernel_world.dataplane.resize_step()
    kernel_world.dataplane._publisher.live["resize_phase"] = Phase.LOOK
    (Pins(kernel_world.name).maps / "next_entries").unlink()
    kernel_world.reopen()
    kernel_world.dataplane.publish(plan(kernel_world))
    settled(kernel_world)
    size = kernel_world.dataplane.sweep()
    assert (size.connections, size.maximum) == (len(PORTS), LARGER)


@pytest.mark.root
def test_a_table_that_cannot_be_made_calls_the_resize_off(
    kernel_world: KernelWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world)
    kernel_world.dataplane.resize(LARGER)

    def no_memory(*_: object, **__: object) -> None:
        raise DataPlaneError("can't load the data plane into the kernel: Cannot allocate memory", "free memory")

    with monkeypatch.context() as patched:
        patched.setattr("lasthop.dataplane.resize.load", no_memory)
        with pytest.raises(DataPlaneError, match=r"to 20000 connections, which take 3 MiB more .* free memory"):
            kernel_world.dataplane.resize_step()
    assert (kernel_world.dataplane.resizing, pinned(kernel_world)) == (None, {"tags", "entries"})
    assert kernel_world.dataplane.sweep().maximum == CONNECTIONS
    kernel_world.dataplane.resize(LARGER)
    settled(kernel_world)
    assert kernel_world.dataplane.sweep().connections == len(PORTS)


@pytest.mark.root
def test_a_step_that_failed_is_done_again(kernel_world: KernelWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if programs were loaded and could not be put on every leg: none moves a connection before all can see it."""
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world)
    kernel_world.dataplane.resize(LARGER)
    swap = kernel_world.dataplane._resize._swap
    failing = {"now": True}

    def every_second() -> None:
        failing["now"] = not failing["now"]
        if not failing["now"]:
            raise DataPlaneError("can't swap the program", "see `lasthop doctor`")
        swap()

    monkeypatch.setattr(kernel_world.dataplane._resize, "_swap", every_second)
    failures = 0
    for _ in range(ENOUGH):
        try:
            if kernel_world.dataplane.resize_step() is None:
                break
        except DataPlaneError:
            failures += 1
            assert kernel_world.dataplane.sweep().connections == len(PORTS)
    assert failures == 3
    size = kernel_world.dataplane.sweep()
    assert (size.connections, size.maximum) == (len(PORTS), LARGER)


@pytest.mark.root
def test_what_finds_no_room_is_given_up_after_a_while_and_the_table_goes_on(
    kernel_world: KernelWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that nobody may replace and a table that no director would ask for."""
    monkeypatch.setattr("lasthop.dataplane.resize._RETRY_S", 0.0)
    monkeypatch.setattr("lasthop.dataplane.resize._RETRIES", 3)
    kernel_world.dataplane.publish(plan(kernel_world))
    opened(kernel_world, range(1, 200))
    table = kernel_world.dataplane._loaded.maps["entries"].view(abi.types().struct("connection"))
    table["word"] |= (table["word"] != 0) * np.uint64(abi.enum("connection_flag")["CONNECTION_ASSURED"] << 8)
    kernel_world.dataplane.resize(100)
    settled(kernel_world)
    kept = kernel_world.dataplane.sweep()
    assert kept.maximum == 100
    assert 100 <= kept.connections < 199
    assert f"{199 - kept.connections} connections found no room in the resized table" in caplog.text
