"""Passive signals: a firewall that answers its check and lets nothing through is found by the connections it loses."""

from __future__ import annotations

from lasthop.lab.director_files import Balancing
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until

PATIENCE_S = 40
DEAF = "fw2"
ENOUGH = 3


def test_a_firewall_whose_connections_get_no_answers_is_down_by_that_alone() -> None:
    with Topology(Blueprint(firewalls=3, clients=4, balancing=Balancing(scheduler="rr", connections=20_000))) as lab:
        lab.serve()
        director = lab.directors["lb1"]
        head, first, rest = director.file.read_text().split("[[service]]\n", 2)
        rules, servers = first.split("[[service.real_server]]", 1)
        check = f'[service.health]\ncheck = "ping"\npassive = {{ connections = {ENOUGH}, window = 30, retry = 600 }}\n'
        text = "[[service]]\n".join([head, f"{rules}{check}[[service.real_server]]{servers}", rest])
        director.client.apply(str(director.file), text)
        lab.run(DEAF, "nft", "-ae", "insert", "rule", "inet", "firewall", "forward", "drop")
        client, pairs = lab.namespace("client"), lab.layout.outwards

        def found() -> bool:
            open_http(client, pairs, 4 * ENOUGH, timeout=0.5)
            return any(each["check"] == "passive" and each["health"] == "down" for each in director.client.health())

        assert wait_until(found, timeout=PATIENCE_S)
        rows = {(each["check"], each["real_server"]): each for each in director.client.health()}
        assert rows["ping", DEAF]["health"] == "up"
        assert "new connections got no answer within 30 s" in rows["passive", DEAF]["last"]
        assert {name for check, name in rows if rows[check, name]["health"] == "down"} == {DEAF}
        assert all(attempt.completed for attempt in open_http(client, pairs, 20)), "nobody is sent there any more"
