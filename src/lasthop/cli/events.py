"""`lasthop events`: what happened lately, and what happens."""

from __future__ import annotations

import json
import select
import signal
import sys
import time
from contextlib import closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import click

from lasthop.cli.table import BAD, NOTABLE, Styled, print_lines
from lasthop.cli.text import seconds
from lasthop.errors import DirectorError
from lasthop.model.event import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from lasthop.api.client import Client, Filters, Report

#: Between two attempts to reach a director that is gone.
RETRY_S = 1.0
_STYLES = {"error": BAD, "warning": NOTABLE}
_KIND_WIDTH = 15


def _since(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else seconds(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no duration: write it like 90s, 10m, 2h or 1d.") from None


@click.command("events")
@click.option("--follow", is_flag=True, help="Go on: show each event as it happens, until Ctrl-C.")
@click.option("--since", callback=_since, metavar="DURATION", help="Those of the last 90s, 10m, 2h or 1d.")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    type=click.Choice([kind.value for kind in Kind]),
    help="Only of this kind, for example server_down; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
@click.pass_obj
def events(client: Client, *, follow: bool, since: int | None, kinds: Sequence[str], as_json: bool) -> None:
    """Show what happened lately: health, legs, hops, drains, edits, problems.

    The director keeps the newest 1000 events of its process. --follow shows what happens from now on, with --since also
    what was before, and goes on after the director was restarted. Where it does not write to a terminal it prints lines
    of JSON, as --json always does.
    """
    if not follow:
        told = _Told(as_json=as_json)
        for event in client.events(since=since, kind=kinds):
            told.tell(event)
        return
    ending = _Ending()
    with ending.by_signal():
        _Following(client, kinds, _Told(as_json=as_json or not sys.stdout.isatty()), ending).go_on(since)


class _Told:
    """Prints events, and knows how far it is."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.last = 0
        """The seq of the last one."""

    def tell(self, event: Report) -> None:
        """Print one, at once."""
        if self._as_json:
            click.echo(json.dumps(event))
        else:
            print_lines([line_of(event)])
            sys.stdout.flush()
        self.last = event["seq"]


def line_of(event: Report) -> list[Styled]:
    """An event as a line for people, with the time of their zone."""
    style = _STYLES.get(event["level"], "")
    by = f" (by {event['by']})" if "by" in event else ""
    when = datetime.fromisoformat(event["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return [Styled(f"{when}  "), Styled(f"{event['kind']:<{_KIND_WIDTH}}", style), Styled(f"  {event['message']}{by}")]


class _Following:
    """Prints what happens until it is ended; a director that is gone after it was there is waited for."""

    def __init__(self, client: Client, kinds: Sequence[str], told: _Told, ending: _Ending) -> None:
        self._client = client
        self._kinds = kinds
        self._told = told
        self._ending = ending
        self._reached = False

    def go_on(self, since: int | None) -> None:
        """Until `ending`. Raises what keeps it from the director at first."""
        self._client.stay()
        self._told.last = max((event["seq"] for event in self._client.events(kind=self._kinds)), default=0)
        part: Filters = {"since": since} if since is not None else {"after": self._told.last}
        while True:
            try:
                self._read({**part, "kind": self._kinds})
                problem = "the director has stopped"
            except DirectorError as error:
                if not self._reached:
                    raise
                problem = error.problem
            click.echo(f"lasthop: {problem}; waiting until it is there again", err=True)
            self._wait()
            click.echo("lasthop: it is there again", err=True)
            part = {"after": self._told.last}

    def _read(self, part: Filters) -> None:
        with closing(self._client.follow_events(**part)) as stream:
            while True:
                with self._ending.may_come():
                    event = next(stream, _OVER)
                if event is _OVER:
                    return
                self._reached = True
                if event is None:
                    _see_reader()
                else:
                    self._told.tell(event)

    def _wait(self) -> None:
        while True:
            with self._ending.may_come():
                time.sleep(RETRY_S)
            try:
                self._client.status()
            except DirectorError:
                _see_reader()
                continue
            return


#: Instead of an event, when a stream is over.
_OVER: Report = {}


def _see_reader() -> None:
    """Raise BrokenPipeError if nobody reads what is printed: nothing may be printed for hours that would tell."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if any(found & select.POLLERR for _, found in poll.poll(0)):
        raise BrokenPipeError


class _EndedError(Exception):
    """By a signal."""


class _Ending:
    """SIGINT and SIGTERM, which are how one ends it: never in the middle of a line."""

    def __init__(self) -> None:
        self._waiting = self._wanted = False

    @contextmanager
    def by_signal(self) -> Iterator[None]:
        """Let them end what is in this context, where they may come."""
        before = {number: signal.signal(number, self._end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        except _EndedError:
            return
        finally:
            for number, restored in before.items():
                signal.signal(number, restored)

    @contextmanager
    def may_come(self) -> Iterator[None]:
        """Here it may be ended."""
        self._waiting = True
        try:
            if self._wanted:
                raise _EndedError
            yield
        finally:
            self._waiting = False

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._wanted = True
        if self._waiting:
            raise _EndedError
