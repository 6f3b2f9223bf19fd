"""`lasthop status`: the director in sentences that can be read at 3 a.m."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import BAD, GOOD, NOTABLE, Line, Styled, print_lines
from lasthop.cli.text import conversation, count, duration

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

#: Share of the table from which its filling is worth a look.
NEARLY_FULL = 0.9


@click.command("status")
@json_option
@click.pass_obj
def status(client: Client, *, as_json: bool) -> None:
    """Say how the director is.

    The first line is the verdict: "all well", or "needs attention" when a leg is not up, a real
    server has no MAC address, or the director names a problem. Counters that should be zero and the
    filling of the table are mentioned without changing the verdict.
    """
    if as_json:
        print_json(client, "status")
        return
    print_lines(sentences(client.status()))


def sentences(report: Report) -> list[Line]:
    """A StatusReport as lines of text."""
    well = not report["problems"] and not report["unresolved"] and report["legs_up"] == report["legs"]
    verdict = Styled("all well", GOOD) if well else Styled("needs attention", BAD)
    lines = [
        [Styled(f"Director {report['director']}: "), verdict, Styled(".")],
        [
            Styled(
                f"  lasthop {report['version']}, pid {report['pid']}, has run for {duration(report['uptime_s'])}"
                f" on kernel {report['kernel']}."
            )
        ],
        [Styled(f"  Its configuration is {report['configuration']}.")],
        _legs(report),
        _servers(report),
        _connections(report),
        _counters(report),
        _asymmetric(report["asymmetric"]),
    ]
    lines += [[Styled("  Problem: ", BAD), Styled(_sentence(problem))] for problem in report["problems"]]
    lines += [[Styled("  Note: "), Styled(_sentence(note))] for note in report["notes"]]
    return lines


def _legs(report: Report) -> Line:
    up, legs = report["legs_up"], report["legs"]
    if up == legs:
        return [Styled(f"  {count(legs, 'leg')}, all up.")]
    return [Styled(f"  {up} of {count(legs, 'leg')} up", BAD), Styled(": see lasthop legs.")]


def _servers(report: Report) -> Line:
    placed = f"  {count(report['real_servers'], 'real server')} in {count(report['services'], 'service')}"
    unresolved = report["unresolved"]
    if not unresolved:
        return [Styled(f"{placed}, all with a MAC address.")]
    verb = "gets" if len(unresolved) == 1 else "get"
    return [
        Styled(f"{placed}; "),
        Styled(f"without a MAC address: {', '.join(unresolved)}", BAD),
        Styled(f" ({verb} no packets)."),
    ]


def _connections(report: Report) -> Line:
    share = report["connections"] / report["connections_max"] if report["connections_max"] else 0
    return [
        Styled("  "),
        Styled(
            f"{report['connections']} of at most {count(report['connections_max'], 'connection')}",
            NOTABLE if share >= NEARLY_FULL else "",
        ),
        Styled(f", {report['assured']} of them assured, over {count(report['hops'], 'hop')}."),
    ]


def _counters(report: Report) -> Line:
    unexpected = report["unexpected"]
    if not unexpected:
        return [Styled("  No unexpected counters.")]
    listed = ", ".join(f"{name} {value}" for name, value in unexpected.items())
    return [Styled("  Unexpected: "), Styled(listed, NOTABLE), Styled(" (lasthop counters explains).")]


def _asymmetric(asymmetric: Report) -> Line:
    number, samples = asymmetric["count"], asymmetric["samples"]
    if not number:
        return [Styled("  Asymmetric responses: 0.")]
    last = ""
    if samples:
        newest = samples[0]
        last = (
            f", last {conversation(newest)} from {newest['came_from']}, "
            f"expected {newest['expected']}, {duration(newest['ago_s'])} ago"
        )
    return [Styled("  "), Styled(f"Asymmetric responses: {number}", BAD), Styled(f"{last}.")]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
