"""`lasthop top` on the command line: its options, and one screen as text.

Textual is imported when a terminal is to be filled, not before: shell completion and the man page read this module.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import click

from lasthop.cli.table import layout, print_lines
from lasthop.tui.heading import heading
from lasthop.tui.snapshot import Taker
from lasthop.tui.views import VIEWS, chosen

if TYPE_CHECKING:
    from lasthop.api.client import Client

#: A screen for scripts is as wide as this, for what it does not go to has no width.
WIDTH = 80


@click.command("top")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 60),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Ask the director so often.",
)
@click.option(
    "--view", "name", type=click.Choice(list(VIEWS)), default="servers", show_default=True, help="Begin here."
)
@click.option("--once", is_flag=True, help="Print one screen as text and end.")
@click.pass_obj
def top(client: Client, *, interval: float, name: str, once: bool) -> None:
    """Watch the director: services, real servers, hops, the biggest connections, legs, counters, events.

    Keys: 1 to 7 or Tab change the view, the arrows move, s sorts, / filters, d, e and x drain, enable or disable a
    real server after a question, ? explains, q ends it. A director that is gone is waited for.
    """
    if once:
        _print_once(client, name, interval)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("It needs a terminal; --once prints one screen.")
    _settle(client)
    from lasthop.tui.app import Top

    Top(client, name, interval).run(mouse=False)


def _settle(client: Client) -> None:
    """Stay with one director. Raises DirectorError where several run; one that does not run yet is waited for."""
    from lasthop.errors import NotRunningError

    try:
        client.stay()
    except NotRunningError:
        return


def _print_once(client: Client, name: str, interval: float) -> None:
    """One screen; of what is shown by the second, after two looks."""
    client.stay()
    view, taker = VIEWS[name], Taker(client)
    taken = taker.take(view, "")
    if view.needs_two:
        time.sleep(interval)
        taken = taker.take(view, "")
    rows = chosen(view, taken.reports, view.sorts[0], "")
    width = None if not sys.stdout.isatty() else shutil.get_terminal_size().columns
    table = layout(view.columns, [row.cells for row in rows], width or WIDTH)
    print_lines([heading(taken.status, taken.clock, width or WIDTH), *table.lines])
