"""`lasthop capture`: the frames of a leg with what was decided about each."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO

import click

from lasthop import __version__
from lasthop.cli.completion import legs
from lasthop.cli.frame_line import line_of
from lasthop.cli.pcapng import PcapngWriter
from lasthop.cli.text import count as counted
from lasthop.errors import DirectorError, LasthopError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from lasthop.api.client import Client, Report

STANDARD_OUTPUT = "-"


@click.command("capture")
@click.argument("leg", shell_complete=legs)
@click.option("--write", "file", type=click.Path(), metavar="FILE", help="Write pcapng to FILE; - is standard output.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after so many frames.")
@click.option("--direction", type=click.Choice(["in", "out", "both"]), default="both", show_default=True)
@click.pass_obj
def capture(client: Client, *, leg: str, file: str | None, count: int | None, direction: str) -> None:
    """Show the frames of LEG as they come in and go out, each with its verdict and the reason.

    Ends after --count frames, or by Ctrl-C. tcpdump and Wireshark read what it writes; frames that native XDP forwards
    they would not see themselves:

    \b
        lasthop capture outside --write - | tcpdump -nr -
        lasthop capture firewalls --write firewalls.pcapng --count 1000
    """  # noqa: D301 -- \b is click's mark of lines to be left as they are
    legs = [each for each in client.legs() if each["name"] == leg]
    reading = _Reading(count)
    with ExitStack() as stack:
        output = stack.enter_context(_output(file)) if file else None
        portions = stack.enter_context(closing(client.capture(leg, direction)))
        stack.enter_context(reading.interruptible())
        # The first portion says that capturing has begun; it would have raised for a leg that there is not.
        first = next(portions)
        click.echo(f"capturing on leg {leg}; Ctrl-C ends it", err=True)
        show = PcapngWriter(output, legs, f"lasthop {__version__}").frame if output else _print
        for portion in reading.until_done(first, portions):
            for frame in portion:
                show(frame)
            if output:
                output.flush()
    told = f"; {counted(reading.lost, 'frame')} lost: more came than could be read" if reading.lost else ""
    click.echo(f"{counted(reading.seen, 'frame')} captured{told}", err=True)
    if reading.abandoned:
        raise DirectorError("the capture ended: the director has stopped", "start it again, then capture anew")


class _Reading:
    """Reads portions until there are enough frames, or somebody ends it: never in the middle of a frame."""

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted
        self._waiting = self._stopped = False
        self.seen = self.lost = 0
        self.abandoned = False
        """The director ended it."""

    def until_done(self, first: Report, portions: Iterator[Report]) -> Iterator[list[Report]]:
        """The frames of each portion."""
        portion: Report | None = first
        while portion is not None:
            self.lost = portion["lost"]
            frames = portion["frames"]
            if self._wanted is not None:
                frames = frames[: self._wanted - self.seen]
            self.seen += len(frames)
            yield frames
            if self._stopped or self.seen == self._wanted:
                return
            try:
                self._waiting = True
                portion = next(portions, None)
            except KeyboardInterrupt:
                return
            finally:
                self._waiting = False
        self.abandoned = True

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end the reading."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, restored in before.items():
                signal.signal(number, restored)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopped = True
        if self._waiting:
            raise KeyboardInterrupt


def _print(frame: Report) -> None:
    click.echo(line_of(frame))


@contextmanager
def _output(file: str) -> Iterator[BinaryIO]:
    """Where the frames are written."""
    if file == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        opened = open(file, "wb")  # noqa: SIM115, PTH123 -- closed below; what fails in between is not the opening
    except OSError as error:
        raise LasthopError(f"can't write {file}: {error.strerror}", "name another file") from error
    with opened:
        yield opened
