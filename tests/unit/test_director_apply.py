"""Applying another file to a running director, and the resizing of its table."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lasthop.config import parse
from lasthop.dataplane.fake import FakeDataPlane
from lasthop.director.director import Director
from lasthop.errors import ConfigurationError, DataPlaneError, DirectorError, NetworkError
from lasthop.model.change import Change, Stranded
from tests.unit.director_worlds import CLIENT, ETH1, FW1_MAC, FW2, ROUTER_MAC, WHOLE, WWW, leg, observation, server

if TYPE_CHECKING:
    from lasthop.network.interface import Observation

FILE = """
[director]
name = "lb1"
[table]
connections = 5000
[[leg]]
name = "outside"
interface = "eth0"
zone = "edge"
[[leg]]
name = "firewalls"
interface = "eth1"
zone = "edge"
[[service]]
mark = 1
match = [{ leg = "outside" }]
[[service.real_server]]
name = "fw1"
address = "10.0.1.11"
[[service.real_server]]
name = "fw2"
address = "10.0.1.12"
"""
WITHOUT_FW2 = FILE[: FILE.rindex("[[service.real_server]]")]
PATH = "/etc/lasthop/lb1.toml"


def running(seen: Observation = WHOLE, **more: Any) -> tuple[Director, FakeDataPlane]:
    """A director of `FILE`."""
    configuration = parse(FILE, PATH)
    dataplane = FakeDataPlane(configuration.director.connections)
    director = Director(configuration, PATH, dataplane, **more)
    director.start(seen)
    return director, dataplane


def sized(connections: int) -> str:
    """`FILE` with a table of another size."""
    return FILE.replace("5000", str(connections))


def settle(director: Director) -> int:
    """Resize until nothing is left to do; the number of steps."""
    steps = 0
    while director.resize_step():
        steps += 1
        assert steps < 1000
    return steps


def test_the_same_file_changes_nothing() -> None:
    director, dataplane = running()
    plan = dataplane.pinned.plan
    report = director.apply(FILE, "other.toml")
    assert (report.director, report.configuration, report.applied) == ("lb1", "other.toml", True)
    assert (report.changes, report.stranded) == ([], [])
    assert dataplane.pinned.plan == plan
    assert director.status().configuration == "other.toml", "it is the file that was applied"


def test_a_file_that_was_applied_is_what_runs() -> None:
    director, _ = running()
    told: list[frozenset[object]] = []
    director.on_applied.append(lambda: told.append(director.wanted))
    report = director.apply(FILE.replace('name = "fw2"', 'name = "fw2"\nweight = 7'), PATH)
    assert report.changes == [Change("real server fw2 of FWM 1", "changed", ("weight 1 -> 7",))]
    assert server(director, "fw2").weight == 7
    assert told == [director.wanted]
    director.observed(observation(fw1=None))
    assert server(director, "fw2").weight == 7, "also after the next observation"


def test_a_real_server_that_is_added_is_wanted() -> None:
    director, dataplane = running()
    director.apply(WITHOUT_FW2, PATH)
    assert (3, FW2) not in director.wanted
    director.apply(FILE, PATH)
    assert (3, FW2) in director.wanted
    assert not dataplane.closed


def test_a_dry_run_says_the_same_and_changes_nothing() -> None:
    director, dataplane = running()
    plan, applied = dataplane.pinned.plan, []
    director.on_applied.append(lambda: applied.append(True))
    report = director.apply(WITHOUT_FW2.replace("5000", "9000"), "other.toml", dry_run=True)
    assert not report.applied
    assert [change.subject for change in report.changes] == ["real server fw2 of FWM 1", "table"]
    assert (dataplane.pinned.plan, applied, settle(director)) == (plan, [], 0)
    assert director.status().configuration == PATH


def test_live_connections_of_a_real_server_that_gets_no_more_are_told() -> None:
    director, dataplane = running()
    for port in (1, 2):
        dataplane.open(("FWM 1", "fw2"), ("outside", ROUTER_MAC), (CLIENT[0], port), WWW)
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.observed(observation(fw1=None))
    report = director.apply(WITHOUT_FW2, PATH)
    assert report.stranded == [Stranded("FWM 1", "fw1", "unresolved", 1), Stranded("FWM 1", "fw2", "removed", 2)]
    assert len(dataplane.pinned.connections) == 3, "they go on"


def test_a_leg_that_is_down_strands_its_connections() -> None:
    director, dataplane = running()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.observed(observation(*(replace(link, up=link.name != "eth1") for link in WHOLE.links.values())))
    (stranded,) = director.apply(FILE, PATH, dry_run=True).stranded
    assert (stranded.real_server, stranded.why, stranded.connections) == ("fw1", "down", 1)
    assert leg(director, "firewalls").state == "down"


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("[director", ConfigurationError, "is not TOML"),
        (FILE.replace("mark = 1", "mark = 0"), ConfigurationError, "service[0].mark"),
        (FILE.replace('"lb1"', '"lb2"'), DirectorError, "it is the file of director 'lb2'"),
        (FILE.replace("eth1", "eth7"), NetworkError, "there is no such interface"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(text: str, kind: type[Exception], told: str) -> None:
    director, dataplane = running()
    plan = dataplane.pinned.plan
    with pytest.raises(kind) as raised:
        director.apply(text, "bad.toml")
    assert told in str(raised.value)
    assert dataplane.pinned.plan == plan
    assert director.status().configuration == PATH


def test_a_file_for_an_interface_that_was_made_a_moment_ago_is_taken() -> None:
    """Before the director has heard of it."""
    director, dataplane = running()
    more = (
        FILE
        + """
[[leg]]
name = "new"
interface = "eth9"
zone = "edge"
"""
    )
    with pytest.raises(NetworkError, match="eth9"):
        director.apply(more, PATH)
    director.look = lambda: WHOLE
    with pytest.raises(NetworkError, match="eth9"):
        director.apply(more, PATH)
    made = replace(ETH1, ifindex=9, name="eth9", addresses=())
    director.look = lambda: replace(WHOLE, links={**WHOLE.links, "eth9": made})
    assert director.apply(more, PATH).applied
    assert dataplane.pinned.plan is not None
    assert [leg.name for leg in dataplane.pinned.plan.legs] == ["outside", "firewalls", "new"]


def test_a_file_that_the_kernel_refuses_leaves_the_old_one_in_force() -> None:
    director, dataplane = running()
    dataplane.refusal = DataPlaneError("can't attach to leg 'dmz'", "free it")
    with pytest.raises(DataPlaneError, match="can't attach"):
        director.apply(WITHOUT_FW2, "bad.toml")
    dataplane.refusal = None
    director.observed(observation(fw1=FW1_MAC))
    assert {each.name for each in director.servers()} == {"fw1", "fw2"}
    assert director.status().configuration == PATH


def test_applying_mends_what_an_observation_could_not() -> None:
    director, _ = running()
    director.observed(observation(WHOLE.links["eth0"]))
    assert director.status().problems
    without = FILE[: FILE.index('[[leg]]\nname = "firewalls"')] + FILE[FILE.index("[[service]]") :]
    director.apply(without.replace("10.0.1.", "192.0.2."), PATH)
    assert not [problem for problem in director.status().problems if "interface" in problem]


def test_a_director_that_detached_applies_nothing() -> None:
    director, _ = running()
    director.detach()
    with pytest.raises(DirectorError, match="has detached"):
        director.apply(FILE, PATH)
    assert not director.resize_step()


def test_a_table_of_another_size_is_resized_step_by_step() -> None:
    director, dataplane = running()
    for port in range(1, 4):
        dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), (CLIENT[0], port), WWW)
    director.apply(sized(9000), PATH)
    assert director.resize_step()
    status = director.status()
    assert (status.connections_max, status.connections, status.problems) == (5000, 3, [])
    assert status.notes == ["resizing the table from 5000 to 9000 connections: 2 are moved"]
    settle(director)
    status = director.status()
    assert (status.connections_max, status.connections, status.notes) == (9000, 3, [])


def test_a_director_resizes_the_table_it_adopts_to_what_its_file_says() -> None:
    _, dataplane = running()
    director = Director(parse(sized(9000), PATH), PATH, FakeDataPlane(pinned=dataplane.pinned))
    director.start(WHOLE)
    assert director.status().connections_max == 5000
    settle(director)
    assert director.status().connections_max == 9000


def test_a_director_goes_on_with_the_resize_of_the_one_before() -> None:
    director, dataplane = running()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.apply(sized(9000), PATH)
    assert director.resize_step()
    director.close()
    successor = Director(parse(FILE, PATH), PATH, FakeDataPlane(pinned=dataplane.pinned))
    successor.start(WHOLE)
    assert successor.status().notes
    settle(successor)
    assert successor.status().connections_max == 5000, "after the one to 9000 comes the one that its file asks for"


def test_a_table_too_small_for_its_connections_is_refused_with_all_of_the_file() -> None:
    configuration = parse(sized(9000), PATH)
    dataplane = FakeDataPlane(9000)
    director = Director(configuration, PATH, dataplane)
    director.start(WHOLE)
    for port in range(1, 1502):
        dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), (CLIENT[0], port), WWW)
    director.sweep()
    with pytest.raises(DirectorError, match=r"to 1500 connections: it holds 1501; set \[table\] connections to 1501"):
        director.apply(WITHOUT_FW2.replace("5000", "1500"), PATH)
    assert {each.name for each in director.servers()} == {"fw1", "fw2"}


def test_a_second_resize_is_refused_while_one_is_under_way() -> None:
    director, dataplane = running()
    dataplane.open(("FWM 1", "fw1"), ("outside", ROUTER_MAC), CLIENT, WWW)
    director.apply(sized(9000), PATH)
    assert director.resize_step()
    with pytest.raises(DirectorError, match="it is being resized to 9000"):
        director.apply(sized(7000), PATH)
    director.apply(sized(9000).replace("fw2", "fw3"), PATH)
    settle(director)
    assert director.status().connections_max == 9000


def test_a_file_without_a_size_gets_the_one_that_suits_the_machine() -> None:
    director, _ = running(default_connections=70_000)
    director.apply(FILE.replace("connections = 5000", ""), PATH)
    settle(director)
    assert director.status().connections_max == 70_000


def test_a_resize_that_fails_is_a_problem_and_not_tried_at_once_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    director, dataplane = running()
    director.apply(sized(9000), PATH)
    refusal = DataPlaneError("can't resize the table to 9000 connections: no memory", "free some")

    def refuse(_connections: int) -> None:
        raise refusal

    with monkeypatch.context() as patched:
        patched.setattr(dataplane, "resize", refuse)
        assert not director.resize_step()
    assert director.status().problems == [str(refusal)]
    assert not director.resize_step()
    assert director.status().problems == [str(refusal)]
    director.apply(sized(9000), PATH)
    settle(director)
    assert (director.status().problems, director.status().connections_max) == ([], 9000)
