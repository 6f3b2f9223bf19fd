"""`lasthop dump`: a file that gives the same configuration again."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lasthop.config import load, parse
from lasthop.config.dump import dump
from lasthop.director.edits import edited
from lasthop.model.edit import MarkEdit, ServerEdit, ServiceEdit, SetTimeouts
from lasthop.model.real_server import RealServer

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*.toml"))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_comes_back_unchanged(file: Path) -> None:
    configuration = load(file)
    assert parse(dump(configuration), "dumped.toml") == configuration


def test_what_commands_made_comes_back_unchanged() -> None:
    configuration = edited(
        load(EXAMPLES[0]),
        [
            ServiceEdit("add_service", "FWM 71", "sh", ("sh-port",), 600, 24),
            ServerEdit("add_server", "FWM 71", "10.0.1.99", "fw.example.net", 5, 100, 50),
            ServiceEdit("add_service", "FWM 72"),
            ServiceEdit("add_service", "UDP 203.0.113.90:53", one_packet=True),
            ServiceEdit("add_service", "SCTP 203.0.113.90:2905"),
            MarkEdit("add_mark", 71, protocol="tcp", destination_port="8000-8080", source="192.0.2.0/24"),
            MarkEdit("add_mark", 72, dscp=46),
            MarkEdit("add_mark", 71, protocol="udp"),
            MarkEdit("add_mark", 71, protocol="89", family="ipv6"),
            MarkEdit("add_mark", 71, source="2001:db8::/32"),
            ServiceEdit("add_service", "FWM 71 IPv6", persistence_s=60, persistence_prefix6=56),
            ServiceEdit("add_service", "TCP [2001:db8::80]:80"),
            ServerEdit("add_server", "TCP [2001:db8::80]:80", "2001:db8:1::11"),
            MarkEdit("add_mark", 72, protocol="sctp", destination_port="2905"),
            SetTimeouts("set_timeouts", tcp=7440),
        ],
    )
    assert parse(dump(configuration), "dumped.toml") == configuration


def test_settings_of_lvs_come_back_each_by_itself() -> None:
    written = {"sloppy_tcp": False, "sloppy_sctp": False, "conn_reuse_mode": 0, "expire_nodest_conn": True}
    text = EXAMPLES[0].read_text()
    for key, value in written.items():
        configuration = parse(f"{text}\n[lvs]\n{key} = {str(value).lower()}\n", "lvs.toml")
        assert getattr(configuration.director.settings, key) == value
        assert tomllib.loads(dump(configuration))["lvs"] == {key: value}
        assert parse(dump(configuration), "dumped.toml") == configuration


def test_defaults_are_left_out_and_single_values_stand_alone() -> None:
    raw = tomllib.loads(dump(load(Path(__file__).parents[2] / "examples/lb1.toml")))
    assert raw["leg"][0].keys() == {"name", "interface", "zone"}
    assert raw["service"][0]["match"] == [{"leg": "outside"}]


def test_a_real_server_keeps_its_leg() -> None:
    configuration = load(EXAMPLES[0])
    service = configuration.services[0]
    leg = configuration.legs[0].name
    server = RealServer("fw9", IPv4Address("10.0.1.99"), leg=leg)
    changed = replace(configuration, services=(replace(service, real_servers=(server,)), *configuration.services[1:]))
    assert parse(dump(changed), "dumped.toml").services[0].real_servers == (server,)
