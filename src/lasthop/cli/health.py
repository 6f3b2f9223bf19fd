"""`lasthop health`: what the health checks of real servers found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import BAD, GOOD, NOTABLE, Cell, Column, Styled, print_table
from lasthop.cli.text import ABSENT, duration

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("SERVICE"),
    Column("SERVER"),
    Column("CHECK"),
    Column("TARGET"),
    Column("HEALTH"),
    Column("FOR", right=True),
    Column("STREAK", right=True),
    Column("TOOK", right=True, spare=1),
    Column("LAST"),
)
_STYLES = {"up": GOOD, "down": BAD, "unknown": NOTABLE}


@click.command("health")
@json_option
@click.pass_obj
def health(client: Client, *, as_json: bool) -> None:
    """Show the health checks of real servers, and what they found.

    FOR is how long HEALTH has been so. STREAK are results in a row that speak against it: it changes at the check's
    rise or fall. LAST is what the last check found, and TOOK how long it took.
    """
    if as_json:
        print_json(client, "health")
        return
    print_table(COLUMNS, [_row(each) for each in client.health()], empty="No service has a health check.")


def _row(report: Report) -> tuple[Cell, ...]:
    took = report["last_s"]
    return (
        report["service"],
        report["real_server"],
        report["check"],
        report["target"],
        Styled(report["health"], _STYLES[report["health"]]),
        duration(report["for_s"]),
        str(report["streak"]),
        ABSENT if took is None else f"{took * 1000:.1f} ms",
        ABSENT if took is None else report["last"] or "answered",
    )
