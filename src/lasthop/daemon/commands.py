"""The commands that need implementations rather than a running director: run, check, import, doctor, detach.

Owns their options and what they print. The nouns are in `lasthop.cli`.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lasthop.config import load, read
from lasthop.daemon.memory import default_connections
from lasthop.errors import NotRunningError

if TYPE_CHECKING:
    from lasthop.api.client import Client

_FILE = click.argument("file", type=click.Path(path_type=Path))


@click.command()
@_FILE
def run(file: Path) -> None:
    """Run the director of FILE in the foreground.

    SIGTERM ends the process and leaves the data plane forwarding; `lasthop detach` takes it out.
    SIGHUP applies FILE again, as `lasthop apply FILE` does.
    """
    text = read(file)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    from lasthop.daemon.process import run as run_process

    run_process(text, str(file.resolve()), default_connections())


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
@click.pass_obj
def detach(client: Client) -> None:
    """Take the data plane out of the kernel; its connections are forgotten.

    A running director ends. Traffic then follows the kernel's routes.
    """
    from lasthop.daemon.wiring import detach_pins, pinned_directors

    if client.is_far:
        client.detach()
        click.echo(f"{client.director()}: detached")
        return
    try:
        name = client.director()
    except NotRunningError:
        pinned = pinned_directors()
        if len(pinned) != 1:
            raise
        name = pinned[0]
    try:
        client.detach()
        click.echo(f"director {name} detached")
    except NotRunningError:
        if not detach_pins(name):
            raise
        click.echo(f"director {name} detached (it was not running)")
