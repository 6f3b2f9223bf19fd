"""The commands that need implementations rather than a running director: run, check, import, doctor, detach.

Owns their options and what they print. The nouns are in `lasthop.cli`.
"""

from __future__ import annotations

import faulthandler
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lasthop.config import load, read
from lasthop.daemon import logs
from lasthop.daemon.file_watch import state_of
from lasthop.daemon.memory import default_connections
from lasthop.errors import NotRunningError

if TYPE_CHECKING:
    from lasthop.api.client import Client

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@_FILE
@click.option(
    "--log-format",
    "form",
    type=click.Choice([each.value for each in logs.Form]),
    help="How to log; default: journald if stderr is systemd's journal, else text.",
)
@click.option("--watch", is_flag=True, help="Apply FILE whenever it was changed, as SIGHUP does.")
def run(file: Path, form: str | None, *, watch: bool) -> None:
    """Run the director of FILE in the foreground.

    SIGTERM ends the process and leaves the data plane forwarding; `lasthop detach` takes it out.
    SIGHUP applies FILE again, as `lasthop apply FILE` does; a file with a mistake changes nothing.
    """
    watched = state_of(file) if watch else None
    text = read(file)
    logs.set_up(logs.Form(form) if form else None)
    faulthandler.enable()  # systemd's watchdog ends a process that hangs by SIGABRT: the log then has where
    from lasthop.daemon.process import run as run_process

    run_process(text, str(file.absolute()), default_connections(), watched=watched)


@click.command()
@_FILE
def check(file: Path) -> None:
    """Validate FILE and say what it configures; every mistake is shown at once."""
    configuration = load(file, default_connections())
    servers = {server.name for service in configuration.services for server in service.real_servers}
    counts = {"leg": len(configuration.legs), "service": len(configuration.services), "real server": len(servers)}
    told = ", ".join(f"{number} {noun}{'s' * (number != 1)}" for noun, number in counts.items())
    click.echo(f"{file}: ok: director {configuration.director.name}, {told}")


@click.group("import")
def import_() -> None:
    """Make a configuration of what another program has."""


@import_.command()
@_FILE
@click.option("--director", "name", metavar="NAME", default="lb1", show_default=True, help="The director's name.")
def keepalived(file: Path, name: str) -> None:
    """Print the virtual servers of a keepalived.conf as a configuration, and say what is left out.

    The legs are stand-ins: keepalived knows none. What is left out, or left to do, goes to stderr, line by line. Exit
    code 1: what is printed needs a hand before `lasthop check` takes it.
    """
    from lasthop.config import parse
    from lasthop.config.dump import dump
    from lasthop.config.keepalived import translate

    translation = translate(read(file), str(file), name)
    made = dump(translation.configuration)
    click.echo(made, nl=False)
    for line in translation.left_out:
        click.echo(line, err=True)
    parse(made, "what is printed")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.pass_context
def doctor(context: click.Context, file: Path | None, *, as_json: bool) -> None:
    """Say what this machine lacks for lasthop, or for the configuration FILE, and what mends it."""
    from rich.console import Console

    from lasthop.daemon import wiring
    from lasthop.daemon.doctor import diagnose, render
    from lasthop.policy.findings import any_error

    findings = diagnose(load(file, default_connections()) if file else None, wiring.network())
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        render(findings, Console())
    if any_error(findings):
        context.exit(1)


@click.command()
@click.option("--open/--closed", "opened", default=None, help="Forward by the kernel's routes, or nothing.")
@click.pass_obj
def detach(client: Client, *, opened: bool | None) -> None:
    """Take the data plane out of the kernel; its connections are forgotten.

    A running director ends. With on_detach = "open", or --open, traffic then follows the kernel's routes; with
    on_detach = "closed", or --closed, nothing is forwarded through its legs until the director runs again or
    `lasthop detach --open` opens them.
    """
    from lasthop.daemon.wiring import detach_pins, pinned_directors

    closed = None if opened is None else not opened
    if client.is_far:
        click.echo(_detached(client.director(), closed=client.detach(closed=closed)))
        return
    try:
        name = client.director()
    except NotRunningError:
        pinned = pinned_directors()
        if len(pinned) != 1:
            raise
        name = pinned[0]
    try:
        click.echo(_detached(f"director {name}", closed=client.detach(closed=closed)))
    except NotRunningError:
        left = detach_pins(name, closed=closed)
        if left is None:
            raise
        click.echo(f"{_detached(f'director {name}', closed=left)} (it was not running)")


def _detached(told: str, *, closed: bool) -> str:
    closing = ": nothing is forwarded through its legs; to open them: lasthop detach --open"
    return f"{told} detached{closing * closed}"
