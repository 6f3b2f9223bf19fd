"""`lasthop counters`: why packets left the data plane the way they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lasthop.cli.noun import json_option, print_json
from lasthop.cli.table import FAINT, NOTABLE, Cell, Column, Styled, print_table

if TYPE_CHECKING:
    from lasthop.api.client import Client, Report

COLUMNS = (
    Column("COUNTER"),
    Column("VALUE", right=True),
    Column("KIND"),
    Column("MEANING", wraps=True),
)


@click.command("counters")
@click.option("--all", "show_all", is_flag=True, help="Show counters that are zero, too.")
@json_option
@click.pass_obj
def counters(client: Client, *, show_all: bool, as_json: bool) -> None:
    """Show why packets went the way they did.

    KIND tells what happens on a healthy network (expected) from what should stay zero (unexpected).
    Counters that are zero are left out of the table, never of the JSON.
    """
    if as_json:
        print_json(client, "counters")
        return
    rows = [_row(counter) for counter in client.counters() if show_all or counter["value"]]
    print_table(COLUMNS, rows, empty="All counters are zero.")


def _row(counter: Report) -> tuple[Cell, ...]:
    alarming = counter["value"] and not counter["expected"]
    return (
        Styled(counter["name"], NOTABLE if alarming else ""),
        Styled(str(counter["value"]), NOTABLE if alarming else ""),
        "expected" if counter["expected"] else Styled("unexpected", NOTABLE if alarming else FAINT),
        counter["sentence"],
    )
