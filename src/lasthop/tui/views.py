"""The views of `lasthop top`: their columns, rows, and what they may be sorted by.

Owns what is shown of each report. Each view fits into 80 columns; a wider terminal shows more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from lasthop.cli.table import BAD, FAINT, GOOD, NOTABLE, Cell, Column, Styled
from lasthop.cli.text import ABSENT, duration, endpoint, present

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lasthop.api.client import Report

_STEP = 1000
_FEW = 10
#: Less is shown as none.
_LEAST = 0.005
_UNITS = ("", "k", "M", "G", "T", "P")


class Sort(NamedTuple):
    """An order of rows; `value` None: as the director has them."""

    name: str
    value: Callable[[Report], Any] | None = None
    ascending: bool = False


class Row(NamedTuple):
    """A report as it is shown."""

    key: str
    """What stays the same from one answer to the next."""
    cells: tuple[Cell, ...]
    report: Report


@dataclass(frozen=True, slots=True)
class View:
    """One of the screens."""

    name: str
    columns: tuple[Column, ...]
    cells: Callable[[Report], tuple[Cell, ...]]
    key: Callable[[Report], str]
    sorts: tuple[Sort, ...]
    empty: str
    """The sentence in place of an empty table."""
    needs_two: bool = False
    """What it shows takes two looks."""


def chosen(view: View, reports: Sequence[Report], sort: Sort, pattern: str) -> list[Row]:
    """The rows that have `pattern` in one of their cells, in either case, in order."""
    ordered = list(reports)
    if sort.value is not None:
        ordered.sort(key=sort.value, reverse=not sort.ascending)
    rows = [Row(view.key(report), view.cells(report), report) for report in ordered]
    wanted = pattern.lower()
    return [row for row in rows if any(wanted in _text(cell).lower() for cell in row.cells)] if wanted else rows


def short(number: float) -> str:
    """At most four characters and a unit: ``0``, ``0.25``, ``12``, ``1.2k``, ``830M``."""
    size = 0
    while number >= _STEP - 0.5 and size < len(_UNITS) - 1:
        number, size = number / _STEP, size + 1
    if number >= _FEW or number == int(number):
        return f"{number:.0f}{_UNITS[size]}"
    if size or number >= 1:
        return f"{number:.1f}{_UNITS[size]}"
    return f"{number:.2f}" if number >= _LEAST else "0"


def _text(cell: Cell) -> str:
    return cell.text if isinstance(cell, Styled) else cell


def _both(each: Report) -> float:
    total: float = each["request"] + each["response"]
    return total


_RATES = (Column("CONN/S", right=True), Column("PKT/S", right=True), Column("BYTE/S", right=True))
_BY_RATE = (
    Sort("bytes/s", lambda report: _both(report["rates"]["bytes"])),
    Sort("packets/s", lambda report: _both(report["rates"]["packets"])),
    Sort("connections/s", lambda report: report["rates"]["connections"]),
    Sort("active", lambda report: report["active"]),
)


def _rates(report: Report) -> tuple[str, str, str]:
    rates = report["rates"]
    return short(rates["connections"]), short(_both(rates["packets"])), short(_both(rates["bytes"]))


def _service(report: Report) -> tuple[Cell, ...]:
    usable, all_of_them = report["usable"], report["real_servers"]
    style = BAD if not usable or report["below_quorum"] else NOTABLE if usable < all_of_them else ""
    return (
        report["service"],
        report["scheduler"],
        Styled(f"{usable}/{all_of_them}", style),
        short(report["active"]),
        short(report["inactive"]),
        short(report["persistent"]),
        *_rates(report),
        report["when_empty"],
        report["on_death"],
    )


def health(report: Report) -> Styled:
    """What keeps a real server from new connections, or that nothing does: the words of `lasthop servers`."""
    if report["admin"] != "enabled":
        return Styled(report["admin"], NOTABLE)
    if report["health"] == "standby":
        return Styled("standby", NOTABLE)
    if report["health"] != "up":
        return Styled(report["health"], BAD)
    return Styled("full", NOTABLE) if report["overloaded"] else Styled("up", GOOD)


def _server(report: Report) -> tuple[Cell, ...]:
    weight, effective = report["weight"], report["effective_weight"]
    return (
        report["service"],
        f"{report['name']} ({report['stand_in']})" if report["stand_in"] else report["name"],
        health(report),
        Styled(f"{effective}/{weight}", NOTABLE) if effective != weight else str(weight),
        short(report["active"]),
        short(report["inactive"]),
        *_rates(report),
        report["address"],
        present(report["leg"]),
        present(report["mac"]),
    )


def _hop(report: Report) -> tuple[Cell, ...]:
    return (
        report["leg"],
        present(report["mac"]),
        present(report["name"]),
        present(report["address"]),
        short(report["connections"]),
        str(report["moved"]),
        present(report["role"]),
        present(report["vlan"]),
    )


def _connection(report: Report) -> tuple[Cell, ...]:
    established = report["state"] in {"ESTABLISHED", "SCTP_ESTABLISHED"}
    return (
        report["protocol"],
        endpoint(report["source"], report["source_port"]),
        endpoint(report["destination"], report["destination_port"]),
        Styled(report["state"], GOOD if established else ""),
        present(report["real_server"]),
        short(_both(report["bytes"])),
        short(_both(report["packets"])),
        duration(report["age_s"]),
        duration(report["idle_s"]),
        present(report["service"]),
        report["zone"],
    )


def _connection_key(report: Report) -> str:
    return "{zone} {protocol} {source} {source_port} {destination} {destination_port}".format(**report)


def _leg(report: Report) -> tuple[Cell, ...]:
    return (
        report["name"],
        report["interface"],
        present(report["vlan"]),
        report["zone"],
        Styled(report["state"], GOOD if report["state"] == "up" else BAD),
        present(report["mode"]),
        str(report["hops"]),
        present(report["mac"]),
        str(report["mtu"]),
    )


def _counter(report: Report) -> tuple[Cell, ...]:
    alarming = NOTABLE if report["value"] and not report["expected"] else ""
    return (
        Styled(report["name"], alarming),
        ABSENT if report["rate"] is None else short(report["rate"]),
        Styled(short(report["value"]), alarming),
        "expected" if report["expected"] else Styled("unexpected", alarming or FAINT),
        report["sentence"],
    )


def _event(report: Report) -> tuple[Cell, ...]:
    style = {"error": BAD, "warning": NOTABLE}.get(report["level"], "")
    by = f" (by {report['by']})" if "by" in report else ""
    when = datetime.fromisoformat(report["time"]).astimezone()
    return (f"{when:%H:%M:%S}", Styled(report["kind"], style), f"{report['message']}{by}")


_ACTIVE = (Column("ACTIVE", right=True), Column("INACT", right=True))

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        View(
            "services",
            (
                Column("SERVICE", shrinks=True),
                Column("SCHED", spare=1),
                Column("USABLE", right=True),
                *_ACTIVE,
                Column("PERSIST", right=True, spare=2),
                *_RATES,
                Column("WHEN-EMPTY", spare=4),
                Column("ON-DEATH", spare=3),
            ),
            _service,
            lambda report: str(report["service"]),
            (Sort("file"), *_BY_RATE),
            "No services are configured.",
        ),
        View(
            "servers",
            (
                Column("SERVICE", shrinks=True),
                Column("SERVER", shrinks=True),
                Column("HEALTH"),
                Column("WEIGHT", right=True),
                *_ACTIVE,
                *_RATES,
                Column("ADDRESS", spare=1),
                Column("LEG", spare=3),
                Column("MAC", spare=2),
            ),
            _server,
            lambda report: f"{report['service']} {report['name']}",
            (Sort("file"), *_BY_RATE, Sort("name", lambda report: report["name"], ascending=True)),
            "No real servers are configured.",
        ),
        View(
            "hops",
            (
                Column("LEG", shrinks=True),
                Column("MAC"),
                Column("SERVER", shrinks=True),
                Column("ADDRESS"),
                Column("CONN", right=True),
                Column("MOVED", right=True),
                Column("ROLE", spare=1),
                Column("VLAN", spare=2),
            ),
            _hop,
            lambda report: str(report["id"]),
            (
                Sort("connections", lambda report: report["connections"]),
                Sort("moved", lambda report: report["moved"]),
                Sort("leg", lambda report: (report["leg"], report["id"]), ascending=True),
            ),
            "No hops are known.",
        ),
        View(
            "connections",
            (
                Column("PROTO"),
                Column("SOURCE", shrinks=True),
                Column("DESTINATION", shrinks=True),
                Column("STATE", shrinks=True),
                Column("SERVER", shrinks=True),
                Column("BYTES", right=True),
                Column("PKTS", right=True, spare=2),
                Column("AGE", right=True, spare=1),
                Column("IDLE", right=True, spare=3),
                Column("SERVICE", spare=4),
                Column("ZONE", spare=5),
            ),
            _connection,
            _connection_key,
            (Sort("bytes"), Sort("packets"), Sort("age")),
            "There are no connections.",
        ),
        View(
            "legs",
            (
                Column("LEG", shrinks=True),
                Column("INTERFACE", shrinks=True),
                Column("VLAN", right=True),
                Column("ZONE", shrinks=True),
                Column("STATE"),
                Column("MODE"),
                Column("HOPS", right=True),
                Column("MAC"),
                Column("MTU", right=True, spare=1),
            ),
            _leg,
            lambda report: str(report["name"]),
            (Sort("file"), Sort("hops", lambda report: report["hops"])),
            "No legs are configured.",
        ),
        View(
            "counters",
            (
                Column("COUNTER"),
                Column("RATE/S", right=True),
                Column("VALUE", right=True),
                Column("KIND"),
                Column("MEANING", shrinks=True),
            ),
            _counter,
            lambda report: str(report["name"]),
            (
                Sort("rate", lambda report: (report["rate"] or 0, report["value"])),
                Sort("value", lambda report: report["value"]),
                Sort("unexpected", lambda report: (not report["expected"] and report["value"] > 0, report["value"])),
            ),
            "All counters are zero.",
            needs_two=True,
        ),
        View(
            "events",
            (Column("TIME"), Column("KIND"), Column("MESSAGE", shrinks=True)),
            _event,
            lambda report: str(report["seq"]),
            (
                Sort("newest", lambda report: report["seq"]),
                Sort("oldest", lambda report: report["seq"], ascending=True),
            ),
            "Nothing has happened.",
        ),
    )
}
