"""Interfaces that vanish and return, are renamed or change their address, and neighbours that fail, under live load."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from lasthop.errors import DirectorError, LabError
from lasthop.lab.load import Load
from lasthop.lab.waiting import wait_until
from tests.faults.settings import PATIENCE_S, PING, apply, cut, mended, wait_health
from tests.faults.settings import configured as configured_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.director_process import DirectorProcess
    from lasthop.lab.topology import Topology

LEG, OTHER = "firewalls", "renamed"
MUTE = "fw2"
#: How soon the kernel doubts a neighbour it does not hear, asks, and gives up.
SOON = {
    "base_reachable_time_ms": 1000,
    "interval_probe_time_ms": 500,
    "delay_first_probe_time": 1,
    "retrans_time_ms": 100,
}


@pytest.fixture(autouse=True)
def configured(lab: Topology) -> None:
    """Checks fail while nothing can get to the firewalls; nobody is given up for that."""
    apply(lab, 'on_death = "keep"\n')
    for name, value in SOON.items():
        lab.run("lb1", "sysctl", "-qw", f"net.ipv4.neigh.{LEG}.{name}={value}")


@pytest.fixture(params=["lb1", "lb2"])
def director(lab: Topology, request: pytest.FixtureRequest) -> Iterator[DirectorProcess]:
    """Either director; afterwards it has what it should."""
    chosen = lab.directors[request.param]
    yield chosen
    if state(chosen) != "up":
        with suppress(LabError):
            ip(lab, chosen.box, f"link delete {OTHER}")
        lay(lab, chosen)
    for address in lab.layout.port(chosen.box, LEG).addresses:
        ip(lab, chosen.box, f"address replace {address} dev {LEG}")


def ip(lab: Topology, box: str, *lines: str) -> None:
    for line in lines:
        lab.run(box, "ip", *line.split())


def delete(lab: Topology, director: DirectorProcess) -> None:
    """Take out the interface, and with it the cable."""
    ip(lab, director.box, f"link delete {LEG}")


def lay(lab: Topology, director: DirectorProcess) -> None:
    """A new interface of the same name, MAC address and address, with a cable to the switch."""
    port = lab.layout.port(director.box, LEG)
    _, far = lab.layout.peer(port)
    ip(
        lab, "lan",
        f"link add name {LEG} netns {lab.namespace(director.box)} address {port.mac} type veth peer name {far}",
        f"link set {far} master {port.lan} up",
    )  # fmt: skip
    ip(lab, director.box, *(f"address add {each} dev {LEG}" for each in port.addresses), f"link set {LEG} up")


def state(director: DirectorProcess) -> str:
    """Of the leg to the firewalls."""
    (leg,) = (each for each in director.client.legs() if each["name"] == LEG)
    return str(leg["state"])


def wait_state(director: DirectorProcess, wanted: str) -> None:
    assert wait_until(lambda: state(director) == wanted, timeout=PATIENCE_S), (wanted, state(director))


def problems(director: DirectorProcess) -> list[str]:
    """What `status` tells, but for what health checks find."""
    return [each for each in director.client.status()["problems"] if "no answer" not in each]


class Logged:
    """Lines of a director's log from now on that say something."""

    def __init__(self, director: DirectorProcess) -> None:
        self._director = director
        self._before = len(self._lines())

    def count(self, said: str) -> int:
        return sum(said in line for line in self._lines()[self._before :])

    def errors(self) -> list[str]:
        """What they say that are errors, without the time."""
        return [line.partition(" ERROR ")[2] for line in self._lines()[self._before :] if " ERROR " in line]

    def _lines(self) -> list[str]:
        return self._director.log.read_text().splitlines()


def test_an_interface_that_is_deleted_and_made_again_has_lost_nothing(lab: Topology, director: DirectorProcess) -> None:
    logged, before = Logged(director), index(lab, director)
    with Load(lab) as load:
        delete(lab, director)
        wait_state(director, "missing")
        (problem,) = (each for each in problems(director) if "no such interface" in each)
        assert f"can't use interface '{LEG}' as leg '{LEG}'" in problem
        lay(lab, director)
        wait_state(director, "up")
        load.progress()
        assert wait_until(lambda: problems(director) == [], timeout=PATIENCE_S), problems(director)
        assert index(lab, director) != before
    assert load.broken == []
    errors = logged.errors()
    # The new interface may be seen before it has its address: that is another problem, told once as well.
    assert sum("no such interface" in each for each in errors) == 1
    assert len(errors) == len(set(errors))
    assert logged.count("mended: ") == 1
    assert (logged.count(f"leg {LEG} ({LEG}) is down"), logged.count(f"leg {LEG} ({LEG}) is up")) == (1, 1)


def index(lab: Topology, director: DirectorProcess) -> str:
    """The interface's number."""
    return lab.run(director.box, "ip", "-oneline", "link", "show", LEG).partition(":")[0]


def rename(lab: Topology, director: DirectorProcess, before: str, after: str) -> None:
    ip(lab, director.box, f"link set {before} down", f"link set {before} name {after}", f"link set {after} up")


def test_an_interface_that_is_renamed_and_renamed_back_has_lost_nothing(
    lab: Topology, director: DirectorProcess
) -> None:
    logged = Logged(director)
    with Load(lab) as load:
        rename(lab, director, LEG, OTHER)
        wait_state(director, "missing")
        (problem,) = (each for each in problems(director) if "no such interface" in each)
        assert OTHER in problem
        rename(lab, director, OTHER, LEG)
        wait_state(director, "up")
        load.progress()
        assert wait_until(lambda: problems(director) == [], timeout=PATIENCE_S), problems(director)
    assert load.broken == []
    assert (logged.count("ERROR"), logged.count("mended: ")) == (1, 1)


def of_connections(director: DirectorProcess) -> dict[str, int]:
    """What was dropped, but for openings, which come again, while real servers were unresolved."""
    counted: dict[str, int] = director.client.status()["unexpected"]
    return {name: value for name, value in counted.items() if name != "drop_empty"}


def test_another_address_and_none_at_all_stop_no_connection(lab: Topology, director: DirectorProcess) -> None:
    """Frames are forwarded by MAC addresses; the director's own address is for asking where these are.

    The kernel forgets its neighbours with the last address, so that real servers have to be resolved again.
    """
    (own,) = lab.layout.port(director.box, LEG).addresses
    logged, other = Logged(director), f"{own.ip + 1}/{own.network.prefixlen}"
    dropped = of_connections(director)
    with Load(lab) as load:
        ip(lab, director.box, f"address delete {own} dev {LEG}", f"address add {other} dev {LEG}")
        assert wait_until(lambda: problems(director) == [], timeout=PATIENCE_S), problems(director)
        load.progress()
        ip(lab, director.box, f"address delete {other} dev {LEG}")
        assert wait_until(lambda: problems(director), timeout=PATIENCE_S)
        load.progress()
        ip(lab, director.box, f"address add {own} dev {LEG}")
        assert wait_until(lambda: problems(director) == [], timeout=PATIENCE_S), problems(director)
        load.progress()
    for name in lab.layout.firewalls:
        wait_health(lab, name, "up")
    assert load.broken == []
    assert of_connections(director) == dropped
    assert logged.count("ERROR") == logged.count("mended: ") <= 2


def test_a_neighbour_that_is_not_resolved_any_more_keeps_its_connections_and_gets_no_new_ones(lab: Topology) -> None:
    """The firewall forwards, and does not say any more where its address is."""
    outer = lab.directors["lb1"]
    logged = Logged(outer)
    with Load(lab) as load:
        load.locate()
        held = load.on(MUTE)
        assert held
        try:
            lab.run(MUTE, "sysctl", "-qw", "net.ipv4.conf.outer.arp_ignore=8")
            assert wait_until(lambda: outer.client.status()["unresolved"] == [MUTE], timeout=PATIENCE_S)
            since = time.monotonic()
            load.wait_answered(held, short=20)
        finally:
            mended = time.monotonic()
            lab.run(MUTE, "sysctl", "-qw", "net.ipv4.conf.outer.arp_ignore=0")
        assert wait_until(lambda: not outer.client.status()["unresolved"], timeout=PATIENCE_S)
        load.progress()
    assert load.broken == []
    places = load.locate()
    assert MUTE not in {places[each.port] for each in load.conversations if since < each.began < mended}
    assert logged.count("MAC address unresolved, was") == logged.count(", was unresolved") == 1


SPARE = '\n[[leg]]\nname = "spare"\ninterface = "spare"\nzone = "elsewhere"\n'


def applied(director: DirectorProcess, text: str) -> bool:
    """Whether it takes that, which it does once it has seen the interfaces."""
    try:
        return bool(director.client.apply(str(director.file), text)["applied"])
    except DirectorError:
        return False


def test_while_another_interface_is_missing_a_firewall_that_dies_is_taken_out_all_the_same(lab: Topology) -> None:
    outer = lab.directors["lb1"]
    ip(lab, "lb1", "link add spare type veth peer name far-spare", "link set spare up", "link set far-spare up")
    text = configured_with(outer.file.read_text(), 'on_death = "keep"\n', PING)
    assert wait_until(lambda: applied(outer, text + SPARE), timeout=PATIENCE_S)
    try:
        with Load(lab) as load:
            ip(lab, "lb1", "link delete spare")
            assert wait_until(lambda: any("no such interface" in each for each in problems(outer)), timeout=PATIENCE_S)
            load.locate()
            with mended(lab):
                cut(lab, MUTE)
                wait_health(lab, MUTE, "down")
                found = time.monotonic()
                load.locate()
                load.progress_of_others(load.on(MUTE))
                (row,) = (each for each in outer.client.servers() if each["name"] == MUTE)
                assert row["effective_weight"] == 0
                assert any("no such interface" in each for each in problems(outer))
            load.progress()
            assert [each for each in load.broken if each.began > found] == []
        assert load.broken == []
    finally:
        outer.client.apply(str(outer.file), text)
    assert problems(outer) == []
