"""Statistics and persistence templates: what both data planes say went through services and real servers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lasthop.lab.waiting import wait_until
from lasthop.model.connection import EachWay
from lasthop.model.statistics import Statistics
from tests.contract.dataplane_worlds import CLIENT, FW2, PATIENCE_S, WWW, datagram, plan

if TYPE_CHECKING:
    from lasthop.policy.plan import Plan
    from tests.contract.dataplane_worlds import KernelWorld, World

FW1_OF, FW2_OF = ("FWM 1", "fw1"), ("FWM 1", "fw2")
LENGTH = len(datagram(CLIENT, WWW))


def persistent(drawn: Plan) -> Plan:
    """The same with clients told apart by 24 bits in FWM 1, IPv6 clients by 64."""
    first, *others = drawn.services
    return replace(
        drawn, services=(replace(first, persistence_s=60.0, persistence_prefix=24, persistence_prefix6=64), *others)
    )


def totals(world: World) -> dict[tuple[str, str], int]:
    """Connections of each real server that had any."""
    world.dataplane.sweep()
    told = world.dataplane.traffic.servers()
    return {key: each.statistics.connections for key, each in told.items() if each.statistics.connections}


def of_service(world: World, label: str = "FWM 1") -> Statistics:
    world.dataplane.sweep()
    return world.dataplane.traffic.services()[label].statistics


def test_connections_are_counted_where_they_were_given(world: World) -> None:
    world.dataplane.publish(plan(world))
    for port in range(3):
        world.arrive((CLIENT[0], 1000 + port))
    assert totals(world) == {FW1_OF: 2, FW2_OF: 1}
    assert of_service(world).connections == 3
    assert of_service(world).packets == EachWay(3, 0)


def test_statistics_begin_anew_at_zero_of_one_service_or_all(world: World) -> None:
    world.dataplane.publish(plan(world))
    world.arrive()
    assert totals(world) == {FW1_OF: 1}
    world.dataplane.traffic.zero("FWM 2")
    assert totals(world) == {FW1_OF: 1}
    world.dataplane.traffic.zero("FWM 1")
    assert totals(world) == {}
    assert of_service(world) == Statistics()
    world.arrive((CLIENT[0], 2))
    assert of_service(world).connections == 1
    world.dataplane.traffic.zero()
    assert of_service(world) == Statistics()


@pytest.mark.root
def test_bytes_count_from_the_ip_header_on_and_stay_when_connections_are_over(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.arrive()
    kernel_world.expire()
    kernel_world.arrive()
    assert of_service(kernel_world) == Statistics(2, EachWay(2, 0), EachWay(2 * LENGTH, 0))


@pytest.mark.root
def test_statistics_and_their_zero_outlive_the_process(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.arrive()
    kernel_world.dataplane.sweep()
    kernel_world.dataplane.traffic.zero()
    kernel_world.arrive((CLIENT[0], 2))
    kernel_world.reopen()
    kernel_world.dataplane.publish(plan(kernel_world))
    assert of_service(kernel_world).connections == 1
    assert totals(kernel_world) == {FW2_OF: 1}


@pytest.mark.root
def test_a_service_that_comes_back_counts_from_zero_though_connections_of_it_live(kernel_world: KernelWorld) -> None:
    whole = plan(kernel_world)
    kernel_world.dataplane.publish(whole)
    kernel_world.arrive()
    assert of_service(kernel_world).connections == 1
    without = replace(
        whole,
        services=whole.services[1:],
        rules=tuple(rule for rule in whole.rules if rule.service != "FWM 1"),
        server_addresses=(),
    )
    kernel_world.dataplane.publish(without)
    kernel_world.dataplane.publish(whole)
    assert of_service(kernel_world) == Statistics()


@pytest.mark.root
def test_what_a_removed_real_server_had_stays_its_services(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.arrive()
    kernel_world.expire()
    kernel_world.dataplane.publish(plan(kernel_world, firewalls=(FW2,)))
    assert FW1_OF not in kernel_world.dataplane.traffic.servers()
    assert of_service(kernel_world) == Statistics(1, EachWay(1, 0), EachWay(LENGTH, 0))


@pytest.mark.root
def test_rates_follow_what_goes_through(kernel_world: KernelWorld) -> None:
    """LVS's estimator: of a burst a quarter is seen by the next look, two seconds after the last."""
    kernel_world.dataplane.publish(plan(kernel_world))
    kernel_world.dataplane.sweep()
    for port in range(20):
        kernel_world.arrive((CLIENT[0], 1000 + port))

    def seen() -> bool:
        kernel_world.dataplane.sweep()
        return kernel_world.dataplane.traffic.services()["FWM 1"].rates.packets.request > 0

    assert wait_until(seen, timeout=PATIENCE_S)
    told = kernel_world.dataplane.traffic
    service, server = told.services()["FWM 1"].rates, told.servers()[FW1_OF].rates
    assert 1.5 <= service.connections == service.packets.request <= 20 / 2 / 4
    assert service.bytes.request == pytest.approx(service.packets.request * LENGTH)
    assert server.connections == pytest.approx(service.connections / 2)


@pytest.mark.root
def test_templates_say_who_is_bound_to_whom_and_for_how_long(kernel_world: KernelWorld) -> None:
    kernel_world.dataplane.publish(persistent(plan(kernel_world)))
    kernel_world.arrive(("198.51.100.11", 1))
    kernel_world.arrive(("198.51.100.12", 2))
    kernel_world.arrive(("198.51.101.11", 3))
    kernel_world.arrive(("2001:db8:51::11", 4))
    kernel_world.arrive(("2001:db8:51::12", 5))
    told = {each.client: each for each in kernel_world.dataplane.traffic.templates()}
    assert sorted(told) == ["198.51.100.0", "198.51.101.0", "2001:db8:51::"]
    first, other = told["198.51.100.0"], told["198.51.101.0"]
    assert (first.service, first.prefix, first.real_server, first.connections) == ("FWM 1", 24, "fw1", 2)
    six = told["2001:db8:51::"]
    assert (six.prefix, six.connections) == (64, 2)
    assert (other.real_server, other.connections, other.assured) == ("fw2", 1, False)
    assert 50 < first.expires_s <= 60
    kernel_world.dataplane.publish(persistent(plan(kernel_world, firewalls=(FW2,))))
    assert {each.real_server for each in kernel_world.dataplane.traffic.templates()} == {"fw1", "fw2"}, (
        "as long as it lives"
    )
