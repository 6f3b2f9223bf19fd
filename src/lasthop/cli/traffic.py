"""What the nouns of services and real servers share: their traffic, as totals or per second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from lasthop.cli.table import Cell, Column

if TYPE_CHECKING:
    from collections.abc import Callable

    from lasthop.api.client import Report

Shown = Literal["statistics", "rates"] | None

STATISTICS = (
    Column("CONNECTIONS", right=True),
    Column("PACKETS", right=True),
    Column("BYTES", right=True),
)
RATES = (
    Column("CONNECTIONS/S", right=True),
    Column("PACKETS/S", right=True),
    Column("BYTES/S", right=True),
)


def traffic_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a noun the options --stats and --rates, which set its parameter `shown`."""
    command = click.option("--stats", "shown", flag_value="statistics", help="Show what went through in all.")(command)
    return click.option("--rates", "shown", flag_value="rates", help="Show how much goes through in a second.")(command)


def traffic_columns(shown: str) -> tuple[Column, ...]:
    """The columns of either."""
    return STATISTICS if shown == "statistics" else RATES


def traffic_cells(report: Report, shown: str) -> tuple[Cell, ...]:
    """Connections, then packets and bytes of requests/responses, of a report that has `shown`."""
    told = report[shown]
    return (_number(told["connections"]), _pair(told["packets"]), _pair(told["bytes"]))


def _number(value: float) -> str:
    return str(round(value)) if isinstance(value, int) or value >= 1 or not value else f"{value:.2f}"


def _pair(each: Report) -> str:
    return f"{_number(each['request'])}/{_number(each['response'])}"
