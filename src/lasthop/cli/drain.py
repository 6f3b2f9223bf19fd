"""`lasthop drain`: take a real server out without ending a connection, and watch it become empty."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from lasthop.cli.completion import real_servers
from lasthop.cli.edits import make
from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import NOTABLE, Cell, Column, Styled, print_table
from lasthop.cli.text import ABSENT, count, duration, seconds
from lasthop.cli.verbs import service_option, where

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lasthop.api.client import Client, Report

POLL_S = 1.0
#: Without a terminal a line is printed so often, or when something changed.
QUIET_S = 30.0

COLUMNS = (
    Column("SERVICE"),
    Column("SERVER"),
    Column("REMAINING", right=True),
    Column("PERSISTENT", right=True, spare=2),
    Column("OLDEST", right=True),
    Column("DEADLINE", right=True),
    Column("ON-DEATH", spare=1),
    Column("ETA", right=True),
)


def _deadline(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else seconds(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration: write it like 90s, 10m, 2h or 1d.") from None


@click.command("drain")
@click.argument("server", shell_complete=real_servers)
@click.option("--deadline", callback=_deadline, metavar="DURATION", help="Disable it after 90s, 10m, 2h or 1d.")
@click.option("--no-wait", is_flag=True, help="Do not watch; see `lasthop drains`.")
@service_option
@click.pass_obj
def drain(client: Client, *, server: str, deadline: int | None, no_wait: bool, service: str | None) -> None:
    """Give real server SERVER no new connections, and watch until those it has are over.

    At the deadline it becomes disabled: what remains then goes the way of its service's on_death.
    The drain goes on when this command is interrupted, and when the director is started again;
    `lasthop enable SERVER` ends it.
    """
    until = None if deadline is None else time.time() + deadline
    make(client, [{"kind": "drain", "server": server, "service": service, "until_s": until}])
    click.echo(f"real server {server} gets no new connections {where(service)}")
    if not no_wait:
        _watch(client, server, service)


@click.command("drains")
@json_option
@click.pass_obj
def drains(client: Client, *, as_json: bool) -> None:
    """Show the real servers that are drained, and how far they are.

    REMAINING are live connections that are not in TIME_WAIT or CLOSE, OLDEST is the age of the oldest.
    At DEADLINE the real server becomes disabled and what remains goes the way of ON-DEATH. ETA supposes
    that connections go on ending as they did. PERSISTENT are clients that persistence binds to it still.
    """
    if as_json:
        print_json(client, "drains")
        return
    print_table(COLUMNS, [_row(each) for each in client.drains()], empty="No real server is drained.")


def _row(drain: Report) -> tuple[Cell, ...]:
    return (
        drain["service"],
        drain["real_server"],
        Styled(str(drain["remaining"]), NOTABLE if drain["remaining"] else ""),
        str(drain["persistent"]),
        _span(drain["oldest_s"]),
        _span(drain["deadline_s"]),
        drain["on_death"],
        _span(drain["eta_s"]),
    )


def _span(value: float | None) -> str:
    return ABSENT if value is None else duration(value)


def _watch(client: Client, server: str, service: str | None) -> None:
    """Say how far it is until it is empty, its time is over, or somebody ended the drain."""
    tty = sys.stdout.isatty()
    told, told_at, left = "", 0.0, 0
    while True:
        mine = [
            each for each in client.drains() if each["real_server"] == server and service in (None, each["service"])
        ]
        line = progress(mine)
        now = time.monotonic()
        if line != told and (tty or now - told_at >= QUIET_S or not told):
            click.echo(f"\r\x1b[K{line}" if tty else line, nl=not tty)
            told, told_at = line, now
        if not mine or not sum(each["remaining"] for each in mine):
            break
        left = sum(each["remaining"] for each in mine)
        time.sleep(POLL_S)
    if tty:
        click.echo()
    click.echo(_end(client, server, service, left) if not mine else f"real server {server} is empty")


def progress(drains: Iterable[Report]) -> str:
    """One line on how far a real server is, in all its services together; empty if it is not drained."""
    listed = list(drains)
    if not listed:
        return ""
    parts = [f"{count(sum(each['remaining'] for each in listed), 'connection')} left"]
    for key, words in (
        ("oldest_s", "the oldest {} old"),
        ("eta_s", "about {} to go"),
        ("deadline_s", "{} to the deadline"),
    ):
        known = [each[key] for each in listed if each[key] is not None]
        if known:
            parts.append(words.format(duration(max(known))))
    return ", ".join(parts)


def _end(client: Client, server: str, service: str | None, left: int) -> str:
    """Why it is not drained any more."""
    now = [each for each in client.servers() if each["name"] == server and service in (None, each["service"])]
    states = {each["admin"] for each in now}
    if states == {"disabled"}:
        policies = {each["service"]: each["on_death"] for each in client.services()}
        on_death = ", ".join(sorted({policies[each["service"]] for each in now}))
        return f"real server {server} is disabled with {count(left, 'connection')} left; on_death = {on_death}"
    how = "removed" if not states else "enabled again"
    return f"real server {server} was {how} with {count(left, 'connection')} left"
