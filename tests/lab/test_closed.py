"""A director that detaches closed: nothing is forwarded through its legs any more, the machine is reached as ever."""

from __future__ import annotations

import signal
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.waiting import wait_until
from tests.contract.dataplane_worlds import datagram
from tests.lab.machines import CONFIGURATION, PATIENCE_S, ROUTER_MAC, Machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLOSED = CONFIGURATION.replace('name = "lb"\n', 'name = "lb"\non_detach = "closed"\n', 1)
TOLD = "detached: nothing is forwarded through its legs; to open them: lasthop detach --open"
PINS = ["closed", "closed_legs"]
CLOSING = ["lh_closed"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine whose kernel forwards what no director takes."""
    with Machine(tmp_path) as made:
        made.ip("route add 203.0.113.0/24 via 10.0.1.11 dev eth1", "route add 198.51.100.0/24 via 192.0.2.1 dev eth0")
        done = made.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.icmp_ratelimit=0")
        assert done.returncode == 0, done.stderr
        yield made


def ask(machine: Machine, port: int) -> None:
    """Have a datagram come in that is for the machine itself, where nobody listens."""
    own, router = bytes.fromhex("020000000002"), bytes.fromhex(ROUTER_MAC.replace(":", ""))
    with machine.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("far-eth0", 0))
        wire.send(own + router + b"\x08\x00" + datagram(("198.51.100.11", port), ("192.0.2.2", 9)))


def answered(machine: Machine, port: int) -> bool:
    """Whether the machine answers, by an ICMP error: what was sent before that has been decided by then."""
    with machine.inside():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        wire.bind(("far-eth0", 0x0800))
    with closing(wire):
        wire.settimeout(PATIENCE_S)
        ask(machine, port)
        return any(wire.recv(2048)[14 + 9] == socket.IPPROTO_ICMP for _ in range(10))


def forwards(machine: Machine, port: int, to: str = "02:00:00:00:00:02") -> bool:
    """Whether a datagram to a MAC address goes through to the firewall's wire before a later one is answered."""
    with closing(machine.listen()) as wire:
        machine.arrive(port, to)
        assert answered(machine, port + 1)
        wire.setblocking(False)
        try:
            return len(wire.recv(2048)) > 0
        except BlockingIOError:
            return False


def dropped(machine: Machine) -> int:
    from lasthop.dataplane.closing import closed_legs
    from lasthop.dataplane.pins import Pins

    pins = Pins("lb")
    pins.root = machine.root / "sys/fs/bpf/lasthop/lb"
    pins.maps, pins.links = pins.root / "maps", pins.root / "links"
    found = closed_legs(pins)
    assert found is not None
    return found.dropped


@pytest.mark.parametrize("running", [True, False], ids=["running", "killed"])
def test_closed_legs_forward_nothing_and_the_machine_is_reached(machine: Machine, *, running: bool) -> None:
    process = machine.start(machine.write(CLOSED))
    assert forwards(machine, 40_000)
    if not running:
        machine.end(process, signal.SIGKILL)
    done = machine.lasthop("detach")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"director lb {TOLD}{'' if running else ' (it was not running)'}\n"
    assert machine.attached("eth0") == machine.attached("eth1") == CLOSING
    assert [name for name in machine.pins() if not name.startswith("tcx")] == PINS
    assert not forwards(machine, 40_010)
    assert dropped(machine) == 1
    again = machine.lasthop("--director", "lb", "detach")
    assert TOLD in again.stdout, "it stays closed"
    opened = machine.lasthop("--director", "lb", "detach", "--open")
    assert opened.stdout == "director lb detached (it was not running)\n"
    assert machine.directors() == []
    assert wait_until(lambda: machine.attached("eth0") == [], timeout=PATIENCE_S)
    assert forwards(machine, 40_020), "by the kernel's routes"


def test_a_director_that_starts_again_takes_the_legs_back(machine: Machine) -> None:
    file = machine.write(CLOSED)
    process = machine.start(file)
    assert machine.lasthop("detach").returncode == 0
    assert process.wait(PATIENCE_S) == 0
    machine.start(file)
    assert machine.attached("eth0") == ["lh_tc"]
    assert forwards(machine, 40_000)
    assert not set(PINS) & set(machine.pins())
    assert machine.lasthop("connections", "--count").stdout == "1\n"
    assert machine.lasthop("detach", "--open").stdout == "director lb detached\n"
    assert machine.directors() == []


def test_an_open_director_may_be_closed_for_once(machine: Machine) -> None:
    machine.start(machine.write())
    assert TOLD in machine.lasthop("detach", "--closed").stdout
    assert not forwards(machine, 40_000)


def test_a_virtual_mac_address_is_closed_too_whatever_its_own_interface_may_do(machine: Machine) -> None:
    """VRRP's, on a macvlan interface: to the interface below, its frames are somebody else's."""
    virtual = "00:00:5e:00:01:07"
    machine.ip(
        f"link add vrrp link eth0 address {virtual} type macvlan mode bridge",
        "link set vrrp up",
        "address add 192.0.2.3/24 dev vrrp",
    )
    assert (
        machine.run("sysctl", "-qw", "net.ipv4.conf.vrrp.rp_filter=0", "net.ipv4.conf.all.rp_filter=0").returncode == 0
    )
    machine.start(machine.write(CLOSED))
    assert forwards(machine, 40_000, virtual), "by the director"
    assert machine.lasthop("detach", "--open").returncode == 0
    assert forwards(machine, 40_010, virtual), "by the kernel"
    assert machine.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0").returncode == 0
    assert forwards(machine, 40_020, virtual), "although the interface below forwards nothing"
    machine.start(machine.write(CLOSED))
    assert TOLD in machine.lasthop("detach").stdout
    assert not forwards(machine, 40_030, virtual)
    assert machine.run("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1").returncode == 0
    assert not forwards(machine, 40_040, virtual)
    assert dropped(machine) == 2


def test_a_leg_whose_interface_is_gone_hinders_nobody(machine: Machine) -> None:
    machine.end(machine.start(machine.write(CLOSED)), signal.SIGKILL)
    machine.ip("link delete eth1")
    done = machine.lasthop("detach")
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.attached("eth0") == CLOSING
    assert machine.lasthop("--director", "lb", "detach", "--open").returncode == 0
    assert machine.directors() == []
