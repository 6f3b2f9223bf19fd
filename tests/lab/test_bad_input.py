"""What cannot work is refused in one line with its remedy: nothing is attached, and nothing that runs is touched."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.kernel import require_kernel
from lasthop.dataplane.libbpf import Map, library
from lasthop.dataplane.loader import map_info
from lasthop.errors import DataPlaneError
from lasthop.lab.waiting import wait_until
from tests.lab.machines import CONFIGURATION, PATIENCE_S, Machine

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

INTERFACES = ("eth0", "eth1", "bridge0")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which nothing runs, before and after each test."""
    with Machine(tmp_path_factory.mktemp("machine")) as made:
        yield made


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the director `lb` runs and has a connection."""
    with Machine(tmp_path_factory.mktemp("busy")) as made:
        made.start(made.write())
        made.arrive()
        yield made


def changed(old: str, new: str) -> str:
    assert CONFIGURATION.count(old) >= 1
    return CONFIGURATION.replace(old, new, 1)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """The one line a refusal is."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("lasthop: ")
    return line.removeprefix("lasthop: ")


def assert_untouched(machine: Machine) -> None:
    for interface in INTERFACES:
        # The kernel takes a link out some time after its last pin went.
        assert wait_until(lambda interface=interface: machine.attached(interface) == [], timeout=PATIENCE_S)  # type: ignore[misc]
    assert machine.directors() == []


def assert_forwards(machine: Machine) -> None:
    """A datagram reaches the firewall with the MAC address of leg `firewalls` as its source."""
    with machine.listen() as firewall:
        machine.arrive()
        assert firewall.recv(200)[6:12] == bytes.fromhex("020000000003")


def connections(machine: Machine) -> int:
    return machine.lasthop("connections", "--json").stdout.count('"source":')


BRIDGE = """
[[leg]]
name = "stubborn"
interface = "bridge0"
zone = "edge"
mode = "xdp"

[[service]]"""

REFUSED = {
    "an unknown interface": (
        changed('"eth1"', '"eth9"'),
        (
            "can't use interface 'eth9' as leg 'firewalls': there is no such interface; "
            "use one of bridge0, eth0, eth1, far-eth0, far-eth1, or create it first"
        ),
    ),
    "an interface without a MAC address": (
        changed('"eth1"', '"lo"'),
        (
            "can't use interface 'lo' as leg 'firewalls': it has no MAC address; "
            "use an Ethernet interface (a NIC, bridge, bond, veth or macvlan)"
        ),
    ),
    "an interface that is two legs": (
        changed('interface = "eth1"\nzone = "edge"', 'interface = "eth0"\nzone = "core"'),
        r'FILE: leg\[1\]\.interface = "eth0": is in two legs, .*: a leg in two zones; keep one of the two; .*',
    ),
    "a service that reaches into two zones": (
        changed('interface = "eth1"\nzone = "edge"', 'interface = "eth1"\nzone = "core"'),
        (
            "service FWM 1 matches leg 'outside' (zone edge), but its real server 'fw1' 10.0.1.11 is on leg "
            "'firewalls' (zone core); match legs of zone core, or name real servers of zone edge"
        ),
    ),
    "a real server on no leg": (
        changed("10.0.1.11", "10.0.7.11"),
        (
            "real server 'fw1' 10.0.7.11 of service FWM 1 is on no leg; give it leg = \"outside\" (or another leg) or "
            "add an address of its subnet to a leg's interface, as with: ip address add ADDRESS/PREFIX dev eth0"
        ),
    ),
    "a real server that is this machine": (
        changed("10.0.1.11", "10.0.1.1"),
        "real server 'fw1' 10.0.1.1 of service FWM 1 is an address of this machine; give the address of the box itself",
    ),
    "a mark that is there twice": (changed("mark = 2", "mark = 1"), r"FILE: service\[1\]\.mark = 1: .*"),
    "a driver without native XDP": (
        changed("\n[[service]]", BRIDGE),
        "can't attach to leg 'stubborn' (bridge0): driver has no native XDP; set mode = \"tc\" on this leg",
    ),
    "what is not TOML": (changed("mark = 1", "mark ="), r"FILE: line 19, column 7: is not TOML: .*"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_work_is_refused_in_one_line_and_nothing_is_attached(machine: Machine, what: str) -> None:
    text, expected = REFUSED[what]
    file = machine.write(text)
    line = told(machine.lasthop("run", file))
    if expected.startswith("FILE: "):
        assert re.fullmatch(expected.removeprefix("FILE: "), line.removeprefix(f"{file}: ")), line
    else:
        assert line == expected
    assert "; " in line
    assert_untouched(machine)


@pytest.mark.parametrize("what", [each for each, (_, expected) in REFUSED.items() if expected.startswith("FILE: ")])
def test_what_is_wrong_in_the_file_is_found_by_check_too(machine: Machine, what: str) -> None:
    file = machine.write(REFUSED[what][0])
    line = told(machine.lasthop("check", file))
    assert re.fullmatch(REFUSED[what][1].removeprefix("FILE: "), line.removeprefix(f"{file}: ")), line


def test_a_file_that_cannot_be_read_is_refused(machine: Machine) -> None:
    absent = str(machine.folder / "absent.toml")
    line = told(machine.lasthop("run", absent))
    assert line == f"{absent}: file: can't be read: no such file or directory; check its path and permissions"
    line = told(machine.lasthop("run", str(machine.folder)))
    assert "can't be read: is a directory" in line
    assert_untouched(machine)


def test_all_mistakes_of_a_file_are_told_one_a_line(machine: Machine) -> None:
    file = machine.write(changed("mark = 2", "mark = 1").replace("10.0.1.11", "10.0.1.300"))
    done = machine.lasthop("run", file)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert all(line.startswith(f"lasthop: {file}: service[") for line in done.stderr.splitlines())
    assert_untouched(machine)


# CAP_SYS_ADMIN implies CAP_BPF and CAP_PERFMON (include/linux/capability.h).
@pytest.mark.parametrize("lacking", ["bpf", "net_admin", "perfmon"])
def test_without_a_capability_the_line_names_what_is_needed(machine: Machine, lacking: str) -> None:
    without = ["setpriv", "--bounding-set", f"-{lacking},-sys_admin"]
    line = told(machine.lasthop("run", machine.write(), before=without))
    assert f"CAP_{lacking.upper()}" in line
    assert "run as root, or give the process" in line
    assert_untouched(machine)


def test_an_old_kernel_is_refused_with_the_remedy() -> None:
    for release in ("5.10.0-28-amd64", "6.0.0", "4.19"):
        with pytest.raises(DataPlaneError, match=f"can't run on kernel {release}; boot kernel 6.1 or later"):
            require_kernel(release)
    for release in ("6.1.0-18-amd64", "6.18.4", "7.0"):
        require_kernel(release)


def test_without_a_bpf_file_system_the_line_has_the_command_that_mounts_it(machine: Machine) -> None:
    hide = 'while umount /sys/fs/bpf 2>/dev/null; do :; done; exec "$@"'
    line = told(machine.lasthop("run", machine.write(), before=["unshare", "--mount", "sh", "-c", hide, "sh"]))
    assert line == "can't pin maps: /sys/fs/bpf is not a BPF file system; mount -t bpf bpf /sys/fs/bpf"
    assert_untouched(machine)


def live_map(machine: Machine) -> Map:
    """The pinned map that says which layout all are of."""
    path = machine.root / "sys/fs/bpf/lasthop/lb/maps/live"
    fd = library().bpf_obj_get(os.fsencode(path))
    assert fd >= 0
    info = map_info(fd)
    return Map("live", fd, info.key_size, info.value_size, info.max_entries)


def test_pins_of_another_layout_are_left_alone_and_forward_on(machine: Machine) -> None:
    file = machine.write()
    machine.end(machine.start(file))
    live = live_map(machine)
    view = live.view(abi.types().struct("live"))
    mine = int(view["abi_version"][0])
    before = machine.pins()
    view["abi_version"] = 9999
    line = told(machine.lasthop("run", file))
    assert line == (
        f"can't take over /sys/fs/bpf/lasthop/lb: its maps are of layout 9999, this lasthop's of {mine}; "
        "run the lasthop that made them, or `lasthop detach`, which ends its connections"
    )
    assert machine.pins() == before
    assert machine.attached("eth0") == ["lh_tc"]
    assert_forwards(machine)
    assert machine.lasthop("detach").returncode == 0
    assert_untouched(machine)
    os.close(live.fd)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("rules", id="larger"),
        pytest.param("hop_refs", id="smaller"),
    ],
)
def test_a_map_of_another_size_is_left_alone(tmp_path: Path, other: str) -> None:
    with Machine(tmp_path) as machine:
        file = machine.write()
        machine.end(machine.start(file))
        maps = machine.root / "sys/fs/bpf/lasthop/lb/maps"
        (maps / "legs").unlink()
        (maps / other).rename(maps / "legs")
        assert told(machine.lasthop("run", file)) == (
            "can't take over /sys/fs/bpf/lasthop/lb/maps/legs: its layout is another version's; "
            "stop that director and run `lasthop detach`, which ends its connections"
        )
        assert machine.lasthop("detach").returncode == 0
        assert_untouched(machine)


def test_a_restart_that_is_refused_leaves_the_data_plane_forwarding(tmp_path: Path) -> None:
    """An operator adds a leg that cannot be attached, and restarts the director."""
    with Machine(tmp_path) as machine:
        machine.end(machine.start(machine.write()))
        before = machine.pins()
        line = told(machine.lasthop("run", machine.write(changed("\n[[service]]", BRIDGE))))
        assert "driver has no native XDP" in line
        assert [machine.attached(interface) for interface in INTERFACES] == [["lh_tc"], ["lh_tc"], []]
        assert machine.pins() == before
        assert_forwards(machine)


def elsewhere() -> list[str]:
    """Puts a command into another network namespace with the same interfaces, and its own /run/lasthop."""
    wiring = (
        "mount -t tmpfs none /run/lasthop; ip link add eth0 type veth peer name far-eth0;"
        "ip link add eth1 type veth peer name far-eth1; ip address add 192.0.2.2/24 dev eth0;"
        'ip address add 10.0.1.1/24 dev eth1; exec "$@"'
    )
    return ["unshare", "--net", "--mount", "sh", "-c", wiring, "sh"]


class TestBesideARunningDirector:
    """What is refused costs the running director nothing: it keeps its programs, pins and connections."""

    @pytest.fixture(autouse=True)
    def unharmed(self, busy: Machine) -> Iterator[None]:
        before = busy.pins(), connections(busy)
        assert before[1] == 1
        yield
        assert (busy.pins(), connections(busy)) == before
        assert busy.attached("eth0") == busy.attached("eth1") == ["lh_tc"]
        assert busy.directors() == ["lb"]

    def test_a_second_director_on_its_legs_is_refused(self, busy: Machine) -> None:
        file = busy.write(changed('name = "lb"', 'name = "other"'), "other.toml")
        assert told(busy.lasthop("run", file)) == (
            "can't attach to leg 'outside' (eth0): another director is attached to it; "
            "stop it and run `lasthop --director NAME detach`, or leave it the interface"
        )

    def test_a_second_process_of_its_name_is_refused(self, busy: Machine) -> None:
        assert told(busy.lasthop("run", busy.write())) == (
            "can't start director 'lb': one of that name is running; "
            "stop it first, or give this one another name (see lasthop --director lb status)"
        )

    def test_a_director_of_its_name_in_another_network_is_refused(self, busy: Machine) -> None:
        """Each container has its own /run, the BPF file system is the host's."""
        assert told(busy.lasthop("run", busy.write(), before=elsewhere())) == (
            "can't take over /sys/fs/bpf/lasthop/lb: that director's legs are in another network namespace; "
            "choose another [director] name"
        )

    def test_a_file_with_mistakes_is_refused(self, busy: Machine) -> None:
        told(busy.lasthop("check", busy.write(changed("mark = 2", "mark = 1"), "other.toml")))


def test_a_second_director_is_refused_with_the_capabilities_of_a_service_too(tmp_path: Path) -> None:
    """CAP_SYS_ADMIN is not among them."""
    only = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon,+net_raw", "timeout", "--signal=TERM", "30"]
    with Machine(tmp_path) as machine:
        machine.start(machine.write())
        other = machine.write(changed('name = "lb"', 'name = "other"'), "other.toml")
        assert "another director is attached to it" in told(machine.lasthop("run", other, before=only))
        assert machine.attached("eth0") == ["lh_tc"]


def test_a_killed_director_leaves_a_lock_that_keeps_nobody_out(machine: Machine) -> None:
    file = machine.write()
    machine.end(machine.start(file), signal.SIGKILL)
    machine.end(machine.start(file))
    assert machine.lasthop("detach").returncode == 0
    assert_untouched(machine)
