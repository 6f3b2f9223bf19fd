"""What a shell offers for a word that names something of the running director.

Owns the names and the patience. A director that does not run, does not answer soon, or is reached over TCP offers
nothing, and nothing is said: a completion has nobody to tell.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.errors import LasthopError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import click

    from lasthop.api.client import Client, Report

_PATIENCE_S = 1.0


def real_servers(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of real servers."""
    return _offered(context, incomplete, lambda client: [report["name"] for report in client.servers()])


def legs(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of legs."""
    return _offered(context, incomplete, lambda client: [report["name"] for report in client.legs()])


def services(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Marks of services: the label of one by address has spaces, which shells take for several words."""
    return _offered(
        context,
        incomplete,
        lambda client: [mark for each in client.services() if (mark := _mark(each)).isdecimal()],
    )


def directors(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of the directors that run here."""
    from lasthop.api.client import running

    with suppress(LasthopError, TimeoutError), _patience():
        return [name for name in running(_directory(context)) if name.startswith(incomplete)]
    return []


def _offered(context: click.Context, incomplete: str, names: Callable[[Client], list[str]]) -> list[str]:
    from lasthop.api.client import Client

    with suppress(LasthopError, TimeoutError), _patience():
        client = Client(context.find_root().params.get("director"), _directory(context))
        if not client.is_far:
            return sorted({name for name in names(client) if name.startswith(incomplete)})
    return []


def _mark(service: Report) -> str:
    label: str = service["service"]
    return label.removeprefix("FWM ")


def _directory(context: click.Context) -> Path:
    """Where sockets are: while a word is completed the program has not made its client of it yet."""
    from lasthop.api.client import SOCKET_DIRECTORY

    given = context.find_root().obj
    return given if isinstance(given, Path) else SOCKET_DIRECTORY


@contextmanager
def _patience() -> Iterator[None]:
    """Raise TimeoutError when it is over: whoever pressed the key waits."""

    def give_up(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
