"""A director is scraped over TLS by what operators scrape with, and takes what is new in its files by a signal."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lasthop.errors import LabError
from lasthop.lab.director_files import Balancing
from lasthop.lab.namespace import run_inside
from lasthop.lab.topology import Blueprint, Topology
from lasthop.lab.traffic import open_http
from lasthop.lab.waiting import wait_until
from lasthop.model.access import Role
from lasthop.model.token import made
from tests.unit.certificates import Site, issue, make_site, secret_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lasthop.lab.director_process import DirectorProcess

OPENED = 10


@pytest.fixture(scope="module")
def lab() -> Iterator[Topology]:
    blueprint = Blueprint(firewalls=2, clients=1, balancing=Balancing(connections=20_000), offloads=False)
    with Topology(blueprint) as built:
        built.serve()
        yield built


@pytest.fixture(scope="module")
def site(lab: Topology, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The first director, with a listener that was opened by a signal."""
    site = make_site(tmp_path_factory.mktemp("api"))
    director, access = lab.directors["lb1"], site.access
    lines = [
        "[api]",
        f'listen = "{access.listen[0]}"',
        *(f'{key} = "{getattr(access, key)}"' for key in ("certificate", "key", "tokens")),
    ]
    director.file.write_text(director.file.read_text() + "\n" + "\n".join(lines) + "\n")
    reload(director)
    director.wait_for(lambda _: "API: listening on" in director.log.read_text(), "listening over TCP")
    return site


def reload(director: DirectorProcess) -> None:
    assert director.running
    subprocess.run(["kill", f"-{signal.SIGHUP.value}", str(director.pid)], check=True)


def curl(lab: Topology, site: Site, path: str, *more: str, role: str = "reader") -> str:
    """The body; `%{http_code}` of it where it is asked for. Raises LabError where curl fails."""
    options = ["--cacert", f"{site.folder}/ca.crt", "--header", f"Authorization: Bearer {site.token(role)}"]
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *options, *more, f"{site.url}{path}"]
    return run_inside(lab.directors["lb1"].namespace, command)


def test_curl_scrapes_over_tls_with_a_token_what_went_through(lab: Topology, site: Site) -> None:
    assert all(attempt.completed for attempt in open_http(lab.namespace("client"), lab.layout.outwards, OPENED))
    director = lab.directors["lb1"]
    director.wait_for(
        lambda client: sum(each["statistics"]["connections"] for each in client.services()) >= OPENED, "counting"
    )
    told = curl(lab, site, "/metrics")
    values = {
        name: float(number)
        for line in told.splitlines()
        if not line.startswith("#")
        for name, number in [line.rsplit(" ", 1)]
    }
    assert values['lasthop_service_scheduled_connections_total{service="FWM 1"}'] >= OPENED
    assert values['lasthop_packets_total{kind="expected",reason="forwarded_opening"}'] >= OPENED
    assert values["lasthop_table_capacity_connections"] == 20_000
    assert values["lasthop_sweep_duration_seconds_count"] > 0
    assert values["lasthop_api_certificate_expiry_timestamp_seconds"] > 2e9
    assert [value for name, value in values.items() if name.startswith("lasthop_real_server_up")] == [1, 1, 1]
    other = curl(lab, site, "/metrics", "--header", "Accept: application/openmetrics-text; version=1.0.0")
    assert other.endswith("# EOF\n")


def test_a_readers_token_changes_nothing_and_a_wrong_one_shows_nothing(lab: Topology, site: Site) -> None:
    code = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    assert curl(lab, site, "/v1/zero", "--request", "POST", *code) == "403"
    assert curl(lab, site, "/v1/zero", "--request", "POST", *code, role="writer") == "204"
    assert curl(lab, site, "/metrics", "--header", "Authorization: Bearer lasthop_no", *code) == "401"


def test_the_command_line_works_through_the_listener(lab: Topology, site: Site) -> None:
    director = lab.directors["lb1"]
    program = [sys.executable, "-m", "lasthop", "--director", site.url, "--ca", f"{site.folder}/ca.crt"]
    reader, writer = ([*program, "--token-file", f"{site.folder}/{role.word}.token"] for role in Role)
    assert json.loads(run_inside(director.namespace, [*reader, "status", "--json"]))["director"] == director.name
    assert "takes new connections" in run_inside(director.namespace, [*writer, "enable", "fw1"])
    with pytest.raises(LabError, match="is a reader, and it takes a writer"):
        run_inside(director.namespace, [*reader, "enable", "fw1"])


def test_a_signal_takes_a_renewed_certificate_and_another_token(lab: Topology, site: Site) -> None:
    director = lab.directors["lb1"]

    def certificate() -> str:
        script = f"import ssl; print(ssl.get_server_certificate(('127.0.0.1', {site.access.listen[0].port})))"
        return run_inside(director.namespace, [sys.executable, "-c", script])

    before = certificate()
    issue(site.authority, site.folder / "api")
    token, known = made("renewed", Role.READER)
    secret_file(site.folder / "tokens", known.line)
    reload(director)
    assert wait_until(lambda: certificate() != before, timeout=20)
    assert ssl.PEM_cert_to_DER_cert(certificate())
    secret_file(site.folder / "reader.token", token)
    assert curl(lab, site, "/v1/timeouts")


def test_what_cannot_be_opened_is_told_and_nothing_else_suffers(lab: Topology, site: Site) -> None:
    director = lab.directors["lb1"]
    text = director.file.read_text()
    director.file.write_text(text.replace(str(site.access.listen[0]), "192.0.2.99:8443"))
    reload(director)
    told = "can't listen on 192.0.2.99:8443 ([api] listen): no interface has that address"
    director.wait_for(lambda client: any(told in each for each in client.status()["problems"]), "telling it")
    assert curl(lab, site, "/v1/timeouts"), "the listener of before goes on"
    assert all(attempt.completed for attempt in open_http(lab.namespace("client"), lab.layout.outwards, OPENED))
    director.file.write_text(text)
    reload(director)
    director.wait_for(lambda client: not any(told in each for each in client.status()["problems"]), "mending it")
