"""Statistics: every connection, packet and byte of a real server is counted once, also after its connection is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from tests.packet.frames import WWW, error, reply, tcp, udp
from tests.packet.plans import FW, ROUTER, firewalls, timeouts, two_box

if TYPE_CHECKING:
    from tests.packet.rig import Rig

FW0 = ("FWM 1", "fw0")
LENGTH = len(bytes(udp()))


def counted(rig: Rig, key: tuple[str, str] = FW0) -> tuple[int, tuple[int, int], tuple[int, int]]:
    """(connections, packets each way, bytes each way) of a real server after a sweep."""
    ids, accounts = rig.publisher.server_ids(), rig.publisher.accounts
    accounts.begin(len(ids))
    rig.sweep()
    census = rig.maps["server_census"].view(abi.types().struct("server_census"))
    accounts.finish(census, rig.publisher.servers["service"], 0)
    (measured,) = accounts.of_servers([ids[key]])
    told = measured.statistics
    return told.connections, (told.packets.request, told.packets.response), (told.bytes.request, told.bytes.response)


def only_one(**changes: Any) -> Any:
    return two_box(firewalls(1), timeouts=timeouts({"UDP": 10.0}), **changes)


def test_live_connections_count_both_directions_from_the_ip_header_on(rig: Rig) -> None:
    rig.publish(only_one())
    rig.send("outside", udp(), ROUTER)
    rig.send("outside", udp(), ROUTER)
    rig.send("firewalls", reply(udp()), FW[0])
    assert counted(rig) == (1, (2, 1), (2 * LENGTH, LENGTH))


def test_what_is_over_stays_counted_and_the_next_connection_adds_to_it(rig: Rig) -> None:
    rig.publish(only_one())
    rig.send("outside", udp(), ROUTER)
    rig.send("firewalls", reply(udp()), FW[0])
    rig.age(11)
    assert counted(rig) == (1, (1, 1), (LENGTH, LENGTH))
    assert not rig.connections()
    rig.send("outside", udp(), ROUTER)
    assert counted(rig) == (2, (2, 1), (2 * LENGTH, LENGTH))


def test_a_connection_that_is_begun_anew_on_access_is_counted_twice(rig: Rig) -> None:
    rig.publish(only_one())
    rig.send("outside", udp(), ROUTER)
    rig.age(11)
    rig.send_over("outside", udp(), ROUTER)
    assert counted(rig) == (2, (2, 0), (2 * LENGTH, 0))


def test_one_packet_scheduling_counts_a_connection_a_packet(rig: Rig) -> None:
    rig.publish(only_one(one_packet=True))
    for _ in range(3):
        rig.send("outside", udp(), ROUTER)
    assert counted(rig) == (3, (3, 0), (3 * LENGTH, 0))


def test_a_packet_without_an_entry_counts_without_a_connection(rig: Rig) -> None:
    rig.publish(only_one())
    rst = tcp("R")
    rig.send("outside", rst, ROUTER)
    assert counted(rig) == (0, (1, 0), (len(bytes(rst)), 0))


def test_an_icmp_error_about_a_connection_is_no_packet_of_it(rig: Rig) -> None:
    rig.publish(only_one())
    rig.send("outside", udp(), ROUTER)
    rig.send("firewalls", error(udp(), "203.0.113.1"), FW[0])
    assert counted(rig) == (1, (1, 0), (LENGTH, 0))


def test_a_segmented_frame_counts_as_the_wire_will(rig: Rig) -> None:
    rig.entry = "tc"  # XDP sees no GSO frames
    rig.publish(only_one())
    rig.send("outside", tcp(), ROUTER)
    data = tcp("A") / (b"x" * 3000)
    before = counted(rig)
    rig.send("outside", data, ROUTER, gso=(3, 1000))
    after = counted(rig)
    assert after[1][0] - before[1][0] == 3
    assert after[2][0] - before[2][0] == 3000 + 3 * 40


def test_zero_begins_anew_and_totals_never_run_back(rig: Rig) -> None:
    rig.publish(only_one())
    rig.send("outside", udp(), ROUTER)
    assert counted(rig)[0] == 1
    ids = rig.publisher.server_ids()
    rig.publisher.accounts.zero([], [ids[FW0]])
    assert counted(rig) == (0, (0, 0), (0, 0))
    rig.send("outside", udp(), ROUTER)
    assert counted(rig) == (0, (1, 0), (LENGTH, 0))


def test_a_removed_real_servers_traffic_stays_its_services(rig: Rig) -> None:
    rig.publish(two_box(firewalls(2), "rr", timeouts=timeouts({"UDP": 10.0})))
    for port in range(4):
        rig.send("outside", udp(sport=1000 + port), ROUTER)
    rig.publish(two_box(firewalls(1), "rr", timeouts=timeouts({"UDP": 10.0})))
    counted(rig)
    service = rig.publisher.services.id_of("FWM 1")
    (of_service,) = rig.publisher.accounts.of_services([service])
    assert of_service.statistics.connections == 4
    rig.age(11)
    rig.sweep()
    rig.publish(two_box(firewalls(1), "rr", timeouts=timeouts({"UDP": 9.0})))
    assert ("FWM 1", "fw1") not in rig.publisher.server_ids()
    assert counted(rig)[0] == 2
    (of_service,) = rig.publisher.accounts.of_services([service])
    assert of_service.statistics.connections == 4
    assert of_service.statistics.packets.request == 4


def test_a_template_is_assured_once_a_connection_of_it_is_and_stays_so(rig: Rig) -> None:
    flag = abi.enum("template_flag")["TEMPLATE_ASSURED"]
    rig.publish(two_box(firewalls(1), persistence_s=60.0, timeouts=timeouts({"UDP": 10.0, "SYN_RECV": 10.0})))

    def template() -> tuple[int, bool]:
        (found,) = rig.templates().values()
        return rig.children(found[0]), bool(found["children"][0] & np.uint32(flag))

    rig.send("outside", tcp(), ROUTER)
    assert template() == (1, False)
    rig.send("outside", udp(), ROUTER)
    rig.send("firewalls", reply(udp()), FW[0])
    assert template() == (2, True)
    rig.age(11)
    rig.sweep()
    assert template() == (0, True)
    rig.send("outside", tcp(sport=9, destination=WWW), ROUTER)
    assert template() == (1, True)
