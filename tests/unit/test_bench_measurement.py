"""What becomes of the rounds of a bench: medians, ratios, JSON, and the reports of the programs that send."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bench.command import TITLES, main, parser
from bench.measurement import Row, interleaved, rows_beside, write
from bench.printing import noisy, number, table
from bench.sandwich import gbits_received, requests_per_second
from lasthop.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path

ROW = Row("stream/tc", "Gbit/s", (9.0, 10.0, 11.0), "kernel-forwarding", (9.0, 10.0, 12.5))


def test_a_row_is_the_round_with_the_median_ratio() -> None:
    row = Row("http/tc", "connections/s", (9.0, 5.0, 11.0), "kernel-forwarding", (10.0, 10.0, 10.0))
    assert (row.value, row.baseline_value, row.ratio) == (9.0, 10.0, 0.9)


def test_a_load_that_slows_whole_rounds_leaves_the_ratio_alone() -> None:
    row = Row("http/tc", "connections/s", (9.0, 90.0, 18.0, 45.0), "kernel-forwarding", (10.0, 100.0, 20.0, 50.0))
    assert row.ratio == 0.9
    assert row.value / row.baseline_value == row.ratio
    assert row.spread == (0.9, 0.9)


def test_the_spread_is_the_middle_half_of_the_ratios_of_single_rounds() -> None:
    assert ROW.spread == (0.94, 1.0)
    assert Row("a", "ns/packet", (3.0,), "b", (2.0,)).spread == (1.5, 1.5)
    assert not noisy(ROW)
    assert noisy(Row("a", "ns/packet", (1.0, 2.0, 1.0), "b", (1.0, 1.0, 1.0)))


def test_more_nanoseconds_are_worse_and_more_gbits_better() -> None:
    assert ROW.larger_is_better
    assert not Row("established/1", "ns/packet", (1.0,), "mac-swap", (1.0,)).larger_is_better


def test_the_json_is_a_list_of_rows_with_stable_names(tmp_path: Path) -> None:
    file = tmp_path / "build" / "bench.json"
    write([ROW], file)
    assert json.loads(file.read_text()) == [
        {
            "name": "stream/tc",
            "unit": "Gbit/s",
            "value": 9.0,
            "baseline": "kernel-forwarding",
            "baseline_value": 9.0,
            "ratio": 1.0,
            "rounds": 3,
        }
    ]


def test_rounds_are_interleaved_and_begin_with_another_measure_each_time() -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return float(len(order))

    said: list[str] = []
    taken = interleaved({name: lambda name=name: measure(name) for name in "abc"}, 3, said.append)  # type: ignore[misc] # bound now
    assert "".join(order) == "abcbcacab"
    assert taken == {"a": [1.0, 6.0, 8.0], "b": [2.0, 4.0, 9.0], "c": [3.0, 5.0, 7.0]}
    assert said[:2] == ["a 1/3", "b 1/3"]


def test_every_series_stands_beside_the_same_baseline() -> None:
    rows = rows_beside("k", {"k": [4.0], "tc": [3.0], "xdp": [1.0]}, {"tc": "http/tc", "xdp": "http/xdp"}, "x")
    assert [(row.name, row.ratio) for row in rows] == [("http/tc", 0.75), ("http/xdp", 0.25)]


@pytest.mark.parametrize(("value", "text"), [(12.345, "12.3"), (0.614, "0.614"), (999.6, "1 000"), (2172.4, "2 172")])
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_piped_table_is_plain_text_with_the_ratio_in_it() -> None:
    output = io.StringIO()
    Console(file=output, width=120).print(table("One stream", [ROW]))
    assert "One stream" in output.getvalue()
    assert "\x1b" not in output.getvalue()
    (line,) = [line for line in output.getvalue().splitlines() if "stream/tc" in line]
    assert " ".join(line.split()) == "stream/tc Gbit/s ↑ 9 kernel-forwarding 9 1.00 0.94 to 1.00"


def test_the_goodput_of_a_stream_is_what_arrived() -> None:
    report = {"end": {"sum_sent": {"bits_per_second": 2e9}, "sum_received": {"bits_per_second": 1.5e9}}}
    assert gbits_received(json.dumps(report)) == 1.5


def test_an_error_of_iperf3_is_passed_on() -> None:
    with pytest.raises(LabError, match="unable to connect"):
        gbits_received('{"error": "unable to connect"}')


WRK = """Running 2s test @ http://203.0.113.80/
  2 threads and 64 connections
  Latency    11.76ms   12.42ms 160.70ms   92.76%
  10452 requests in 2.00s, 724.61KB read
Requests/sec:   5222.38
Transfer/sec:    362.05KB
"""


def test_the_rate_of_short_connections_is_read_from_wrk() -> None:
    assert requests_per_second(WRK) == 5222.38


@pytest.mark.parametrize(
    "text",
    [
        WRK.replace("5222.38", "0.00"),
        WRK + "  Non-2xx or 3xx responses: 3\n",
        WRK + "  Socket errors: connect 64, read 0, write 0, timeout 0\n",
        "unable to connect to 203.0.113.80:http Connection refused\n",
    ],
)
def test_connections_that_fail_are_no_measurement(text: str) -> None:
    with pytest.raises(LabError, match="wrk"):
        requests_per_second(text)


def test_groups_are_chosen_by_name_and_unknown_ones_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert parser().parse_args(["--only", "stream", "--only", "http"]).only == ["stream", "http"]
    with pytest.raises(SystemExit):
        main(["--only", "nothing"])
    assert ", ".join(TITLES) in capsys.readouterr().err.replace("'", "")


def test_a_bench_has_at_least_one_round() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--rounds", "0"])
