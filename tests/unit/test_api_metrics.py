"""/metrics: what it says, by Prometheus's conventions, and that it stays small and quick."""

from __future__ import annotations

import dataclasses
import re
import time
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from lasthop.api.client import Client
from lasthop.api.fake import ServedDirector
from lasthop.api.metric_list import METRICS, PROCESS, Kind, Metric
from lasthop.api.metrics import OTHERS, Surroundings, samples, written
from lasthop.api.sample import sample
from lasthop.errors import DirectorError
from lasthop.model.access import Access
from lasthop.model.counter import CounterReport
from lasthop.model.hop import HopReport
from tests.unit.certificates import make_site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

    from lasthop.api.fake import FakeOperations

ALL = (*METRICS, *PROCESS)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
#: What promlint refuses (prometheus/client_golang, prometheus/testutil/promlint).
TYPES = {"counter", "gauge", "histogram", "summary", "untyped", "metric"}
SMALL_UNITS = {"ms", "us", "ns", "milliseconds", "minutes", "hours", "bits", "kilobytes", "kb", "mb", "percent"}
BASE_UNITS = {"seconds", "bytes", "ratio", "celsius", "volts", "joules", "grams", "meters"}


def text(operations: FakeOperations, around: Surroundings | None = None) -> str:
    operations.counter_reports.append(CounterReport("event_quota", "No room.", expected=False, value=9))
    return written(samples(operations, around or Surroundings(certificate_until=2e9)), "")[0].decode()


def values(told: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(told)
        for each in family.samples
    }


def value(told: str, name: str, **labels: str) -> float:
    return values(told)[name, frozenset(labels.items())]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_a_name_is_as_prometheus_wants_it(metric: Metric) -> None:
    words = metric.name.split("_")
    assert re.fullmatch(r"lasthop(_[a-z]+)+", metric.name)
    assert not TYPES & set(words), "the type is not part of the name"
    assert not SMALL_UNITS & set(words), "base units"
    assert (words[-1] == "total") == (metric.kind is Kind.COUNTER), "counters, and they alone, end in _total"
    assert (words[-1] == "info") == (metric.kind is Kind.INFO)
    assert words[-1] not in {"count", "sum", "bucket"}, "those are a histogram's"
    unit = BASE_UNITS & set(words)
    assert not unit or words[-1] in unit or words[-2] in unit, "the unit comes last, before _total"
    assert metric.help.strip().endswith(".")
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in metric.labels)


def test_every_metric_of_the_list_is_told_and_no_other() -> None:
    told = text(sample())
    found = dict(re.findall(r"^# TYPE (\S+) (\S+)$", told, re.MULTILINE))
    expected = {metric.name: "gauge" if metric.kind is Kind.INFO else metric.kind.value for metric in ALL}
    assert found == expected
    assert len(re.findall(r"^# HELP \S+ \S", told, re.MULTILINE)) == len(ALL)
    for metric in METRICS:
        labels = {frozenset(labels) for name, labels in _labels(told) if name == metric.name}
        assert labels <= {frozenset(metric.labels)}, metric.name


def _labels(told: str) -> list[tuple[str, set[str]]]:
    return [(name, {label for label, _ in labels}) for name, labels in values(told)]


def test_metrics_say_what_the_nouns_say() -> None:
    told = text(sample())
    server = {"service": "FWM 1", "real_server": "fw2"}
    assert value(told, "lasthop_director_info", director="lb1", version="0.1.0", kernel="6.1.0") == 1
    assert value(told, "lasthop_packets_total", reason="loop", kind="unexpected") == 3
    assert value(told, "lasthop_events_total", reason="event_quota", kind="unexpected") == 9
    assert value(told, "lasthop_real_server_bytes_total", **server, direction="response") == 1_250_000
    assert value(told, "lasthop_real_server_up", service="FWM 1", real_server="fw4") == 0
    assert value(told, "lasthop_real_server_enabled", **server) == 0
    assert value(told, "lasthop_health_check_up", **server, check="http") == 0
    assert value(told, "lasthop_health_checks_total", **server, check="http", result="failure") == 10
    assert value(told, "lasthop_drain_remaining_connections", **server) == 1
    assert value(told, "lasthop_service_connections", service="FWM 1", state="active") == 3
    assert value(told, "lasthop_table_unassured_connections") == 2
    assert value(told, "lasthop_hop_moves_total", leg="firewalls", hop="fw1") == 2
    assert value(told, "lasthop_api_certificate_expiry_timestamp_seconds") == 2e9


def test_a_failed_quorum_and_a_backup_that_waits_are_told_apart() -> None:
    operations = sample()
    operations.service_reports[0] = dataclasses.replace(operations.service_reports[0], below_quorum=True)
    operations.server_reports[0] = dataclasses.replace(operations.server_reports[0], health="standby")
    told = text(operations)
    assert value(told, "lasthop_service_quorum_met", service="FWM 1") == 0
    assert value(told, "lasthop_real_server_up", service="FWM 1", real_server="fw1") == 1


def test_hops_of_nobodys_are_added_up_beyond_the_limit() -> None:
    operations = sample()
    operations.hop_reports = [
        HopReport(1, "outside", "02:00:00:00:00:01", None, "192.0.2.1", "", 5, 1, "gateway"),
        HopReport(2, "outside", "02:00:00:00:00:02", None, "", "fw1", 7, 0),
        *(HopReport(3 + i, "outside", f"02:00:00:00:01:{i:02x}", None, "", "", 1, 1) for i in range(100)),
        HopReport(200, "inside", "02:00:00:00:02:01", None, "", "", 1, 0),
    ]
    told = text(operations, Surroundings(hops=3))
    assert len([name for name, _ in values(told) if name == "lasthop_hop_connections"]) == 2 + 3 + 1 + 1
    assert value(told, "lasthop_hop_connections", leg="outside", hop=OTHERS) == 97
    assert value(told, "lasthop_hop_moves_total", leg="outside", hop=OTHERS) == 97
    assert value(told, "lasthop_hop_connections", leg="outside", hop="192.0.2.1") == 5


def test_two_hops_of_one_address_are_one_series() -> None:
    operations = sample()
    operations.hop_reports = [
        HopReport(each, "outside", f"02:00:00:00:00:0{each}", None, "192.0.2.1", "", each, each) for each in (1, 2)
    ]
    told = text(operations)
    assert value(told, "lasthop_hop_connections", leg="outside", hop="192.0.2.1") == 3
    assert value(told, "lasthop_hop_moves_total", leg="outside", hop="192.0.2.1") == 3


def test_either_format_is_given_as_it_is_asked_for(tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock"):
        client = Client("lb1", tmp_path)
        plain, other = client.metrics(), client.metrics(OPENMETRICS)
    assert other.endswith("# EOF\n")
    assert "# EOF" not in plain
    families = openmetrics_families(other)  # type: ignore[no-untyped-call]  # the library's
    assert {each.name for each in families} == {
        metric.name.removesuffix("_total").removesuffix("_info")
        for metric in ALL
        if not re.search("certificate|events", metric.name)
    }


def test_the_command_prints_what_would_be_scraped(lasthop: Callable[..., Result]) -> None:
    assert 'lasthop_leg_up{leg="outside"} 1.0\n' in lasthop("metrics").output
    assert lasthop("metrics", "--openmetrics").output.endswith("# EOF\n")


def test_a_scrape_takes_a_readers_token_unless_metrics_are_open(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    nobody = Client(site.url, credentials=dataclasses.replace(site.credentials(), token_file=None))
    with ServedDirector(sample(), tmp_path / "lb1.sock", site.access) as served:
        assert "lasthop_api_certificate_expiry_timestamp_seconds" in site.client().metrics()
        with pytest.raises(DirectorError, match="no token was given"):
            nobody.metrics()
        assert not served.adapt(dataclasses.replace(site.access, metrics_open=True, metrics_hops=0))
        assert f'hop="{OTHERS}"' in nobody.metrics()
        with pytest.raises(DirectorError, match="no token was given"):
            nobody.status()


def test_a_thousand_real_servers_are_told_in_a_moment() -> None:
    """Some 0.25 s of a processor beside the director's loop, besides what the director takes to make its reports."""
    operations = sample()
    server, check = operations.server_reports[0], operations.health_reports[0]
    operations.server_reports = [dataclasses.replace(server, name=f"fw{number}") for number in range(1000)]
    operations.health_reports = [dataclasses.replace(check, real_server=f"fw{number}") for number in range(1000)]
    began = time.process_time()
    given = samples(operations, Surroundings())
    in_loop = time.process_time() - began
    body, _ = written(given, "")
    assert body.count(b"lasthop_real_server_up{") == 1000
    assert in_loop < 0.5
    assert time.process_time() - began < 5


def test_an_access_without_a_listener_has_no_certificate_to_tell_of(tmp_path: Path) -> None:
    with ServedDirector(sample(), tmp_path / "lb1.sock", Access()):
        assert "certificate" not in Client("lb1", tmp_path).metrics()
