"""What the doctor finds beside a leg's own settings: queues, ARP, LVS, connection tracking, neighbours, detaching."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import TYPE_CHECKING

import pytest

from lasthop.daemon import kernel_files
from lasthop.daemon.doctor import diagnose
from lasthop.errors import NetworkError
from lasthop.model.configuration import Configuration
from lasthop.model.director import Director, OnDetach
from lasthop.model.real_server import RealServer
from lasthop.model.rule import Match
from lasthop.model.service import Service, WhenEmpty
from lasthop.network.fake import FakeNetwork
from lasthop.policy.findings import Finding, Machine, Severity
from lasthop.policy.host_findings import judge_host, judge_ways
from lasthop.policy.interface_findings import describe, judge_interface, judge_neighbourhood
from tests.unit.test_doctor import HEALTHY, INSIDE, NIC, OUTSIDE, lacking

if TYPE_CHECKING:
    from pathlib import Path

    from lasthop.network.interface import Observation

FW1 = RealServer("fw1", IPv4Address("10.0.1.11"), other_addresses=(IPv6Address("2001:db8:1::11"),))


def configured(
    *servers: RealServer, when_empty: WhenEmpty = WhenEmpty.DROP, on_detach: OnDetach = OnDetach.OPEN
) -> Configuration:
    service = Service(1, (Match(legs=("outside",)),), servers or (FW1,), when_empty=when_empty)
    return Configuration(Director("lb1", on_detach=on_detach), (OUTSIDE, INSIDE), (service,))


def told(findings: list[Finding], subject: str) -> Finding:
    (found,) = [each for each in findings if each.subject == subject]
    return found


def test_a_machine_of_its_own_has_nothing_to_tell() -> None:
    assert judge_host(HEALTHY) == []


@pytest.mark.parametrize(
    ("machine", "subject", "severity", "what", "remedy"),
    [
        (replace(HEALTHY, unprivileged_bpf=True), "users' BPF", "ok", "every user", "unprivileged_bpf_disabled=1"),
        (replace(HEALTHY, conntrack=(12, 65_536)), "conntrack", "ok", "12 of 65,536", ""),
        (replace(HEALTHY, conntrack=(60_000, 65_536)), "conntrack", "warning", "nearly full", "conntrack_max=131072"),
        (replace(HEALTHY, lvs_services=2), "LVS", "warning", "2 virtual services", "ipvsadm -C"),
        (replace(HEALTHY, running=frozenset({"keepalived"})), "keepalived", "ok", "VRRP", "lasthop import keepalived"),
        (replace(HEALTHY, kernel="6.1.0-40-amd64"), "capabilities", "ok", "goes unnoticed", "CAP_SYS_ADMIN"),
    ],
)
def test_what_shares_the_machine_is_told_with_what_mends_it(
    machine: Machine, subject: str, severity: str, what: str, remedy: str
) -> None:
    (found,) = judge_host(machine)
    assert (found.subject, found.severity) == (subject, severity)
    assert what in found.what
    assert remedy in found.remedy_command


def test_a_process_with_sys_admin_sees_the_filters_of_others_on_any_kernel() -> None:
    assert judge_host(replace(HEALTHY, kernel="6.1.0", capabilities=HEALTHY.capabilities | 1 << 21)) == []


@pytest.mark.parametrize(
    ("queues", "most", "rps", "severity", "remedy"),
    [
        (8, 8, False, None, ""),
        (1, 8, False, "warning", "ethtool -L eth0 combined 8"),
        (4, 16, False, "warning", "ethtool -L eth0 combined 8"),
        (1, 1, False, "ok", "echo ff > /sys/class/net/eth0/queues/rx-0/rps_cpus"),
        (1, None, True, "ok", ""),
        (4, 4, False, "ok", ""),
    ],
)
def test_processors_that_get_no_packets_are_found(
    queues: int, most: int | None, severity: str | None, remedy: str, *, rps: bool
) -> None:
    interface = replace(NIC, queues=queues, queues_max=most, rps=rps)
    found = judge_interface("leg outside", "eth0", interface, processors=8)
    assert [(each.severity, each.remedy_command) for each in found] == ([(severity, remedy)] if severity else [])


def test_a_virtual_interface_needs_no_queues() -> None:
    assert judge_interface("leg x", "veth0", replace(NIC, virtual=True, queues=1, gro=False), processors=8) == []


def test_generic_receive_offload_that_is_off_is_a_choice() -> None:
    (found,) = judge_interface("leg outside", "eth0", replace(NIC, gro=False), processors=1)
    assert (found.ok, found.remedy_command) == (True, "ethtool -K eth0 gro on")


def test_programs_of_others_on_a_leg_are_a_warning_with_their_names() -> None:
    (found,) = judge_interface("leg outside", "eth0", replace(NIC, foreign=("cil_from_netdev",)), processors=1)
    assert found.severity is Severity.WARNING
    assert "cil_from_netdev" in found.what
    assert found.remedy_command == "bpftool net show dev eth0"


def test_two_interfaces_with_one_mac_address_are_a_warning_unless_one_is_made_of_the_other() -> None:
    same = replace(NIC, mac="02:00:00:00:00:01")
    (found,) = judge_neighbourhood({"eth0": same, "eth1": same})
    assert (found.subject, found.severity) == ("MAC addresses", "warning")
    assert judge_neighbourhood({"eth0": same, "eth0.100": replace(same, kind="vlan")}) == []
    assert judge_neighbourhood({"eth0": NIC, "eth1": NIC}) == []


def test_two_interfaces_in_one_network_that_answer_for_each_other_are_a_warning() -> None:
    shared = replace(NIC, networks=frozenset({IPv4Network("10.0.1.0/24")}), arp_ignore=0)
    (found,) = judge_neighbourhood({"eth0": shared, "eth1": shared})
    assert (found.subject, found.severity) == ("ARP", "warning")
    assert "arp_ignore=1" in found.remedy_command
    assert judge_neighbourhood({"eth0": replace(shared, arp_ignore=1), "eth1": replace(shared, arp_ignore=1)}) == []


@pytest.mark.parametrize("when_empty", [WhenEmpty.KERNEL, WhenEmpty.BYPASS])
def test_a_service_that_leaves_packets_to_a_kernel_that_does_not_forward_is_a_warning(when_empty: WhenEmpty) -> None:
    machine = replace(HEALTHY, ip_forward=False)
    found = told(judge_ways(configured(when_empty=when_empty), machine), "forwarding")
    assert f"when_empty = {when_empty.value}" in found.what
    assert (found.severity, found.remedy_command) == ("warning", "sysctl -w net.ipv4.ip_forward=1")
    assert not lacking(judge_ways(configured(when_empty=when_empty), HEALTHY))
    assert not lacking(judge_ways(configured(), machine))


@pytest.mark.parametrize(
    ("on_detach", "forwards", "what"),
    [
        (OnDetach.OPEN, True, "follows the kernel's routes"),
        (OnDetach.OPEN, False, "nothing is forwarded then"),
        (OnDetach.CLOSED, True, "nothing is forwarded through the legs"),
    ],
)
def test_what_becomes_of_traffic_without_the_data_plane_is_told(
    on_detach: OnDetach, what: str, *, forwards: bool
) -> None:
    found = told(judge_ways(configured(on_detach=on_detach), replace(HEALTHY, ip_forward=forwards)), "on detach")
    assert (found.ok, what in found.what) == (True, True)


def test_more_real_servers_than_half_the_neighbours_that_the_kernel_keeps_are_a_warning() -> None:
    many = [RealServer(f"fw{number}", IPv4Address(0x0A000000 + number)) for number in range(600)]
    machine = replace(HEALTHY, neighbour_limits={4: 1024, 6: 1024})
    found = told(judge_ways(configured(*many), machine), "neighbours")
    assert "IPv4" in found.what
    assert found.remedy_command == (
        "sysctl -w net.ipv4.neigh.default.gc_thresh1=600 net.ipv4.neigh.default.gc_thresh2=1200 "
        "net.ipv4.neigh.default.gc_thresh3=2400"
    )
    assert not lacking(judge_ways(configured(*many[:500]), machine))


def test_an_interface_is_described_by_what_a_leg_on_it_would_get() -> None:
    told = [
        [each.what for each in describe("eth0", interface, processors=1)]
        for interface in (
            replace(NIC, queues=8),
            replace(NIC, xdp=False, queues=1),
            replace(NIC, driver="veth", virtual=True),
        )
    ]
    assert told == [
        ["ice: native XDP, 8 receive queues"],
        ["ice: no native XDP: tc, 1 receive queue"],
        ["veth: tc, as on every virtual interface"],
    ]


def test_offloads_that_a_leg_would_not_take_are_told_before_there_is_one() -> None:
    found = describe("eth0", replace(NIC, lro=True, rxvlan=True, queues=1, queues_max=4), processors=4)
    commands = [each.remedy_command for each in found if each.remedy_command]
    assert commands == ["ethtool -L eth0 combined 4", "ethtool -K eth0 lro off", "ethtool -K eth0 rxvlan off"]


def test_a_machine_whose_network_cannot_be_read_is_judged_by_the_rest() -> None:
    class Refusing(FakeNetwork):
        def observe(self) -> Observation:
            raise NetworkError("can't read links: Operation not permitted", "run as root")

    with closing(Refusing()) as network:
        assert diagnose(None, network)
        with pytest.raises(NetworkError):
            diagnose(configured(), network)


def test_services_of_lvs_are_counted_from_what_the_kernel_lists(tmp_path: Path) -> None:
    listed = tmp_path / "ip_vs"
    listed.write_text(
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
        "TCP  CB007150:0050 wlc  \n  -> 0A00010B:0050      Route   1      0          0         \nFWM  00000001 wlc  \n"
    )
    assert kernel_files.lvs_services(str(listed)) == 2
    assert kernel_files.lvs_services(str(tmp_path / "none")) == 0


def test_a_later_mount_hides_an_earlier_one() -> None:
    mounts = "bpf /sys/fs/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n"
    assert not kernel_files.mounted(mounts, "/sys/fs/bpf", "bpf")
    assert kernel_files.mounted(mounts.splitlines()[0], "/sys/fs/bpf", "bpf")
