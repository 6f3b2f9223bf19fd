"""The commands ``demo``, ``lab-shell`` and ``lab-clean``.

Owns their options, their order of events and their exit codes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lasthop.errors import LabError
from lasthop.lab import ownership
from lasthop.lab.director_files import Balancing, LegModes
from lasthop.lab.layout import WWW_ADDRESS, Shape
from lasthop.lab.namespace import NAMESPACES, inside
from lasthop.lab.requirements import check_requirements
from lasthop.lab.topology import Blueprint, Topology

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from lasthop.lab.demonstration import Load, Outcome
    from lasthop.lab.presentation import Presentation

_CONNECTIONS = 400
_CONNECTIONS_MAX = 10_000
#: Without last hops most connections run into a time-out: fewer of them tell as much.
_CONNECTIONS_NO_LAST_HOP = 200


def topology_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is built."""
    for option in (
        click.option(
            "--mode",
            type=click.Choice([mode.value for mode in LegModes]),
            default=LegModes.TC.value,
            show_default=True,
            help="How legs are attached; mixed: XDP towards routers, tc towards firewalls.",
        ),
        click.option(
            "--firewalls", type=click.IntRange(1, 64), default=4, show_default=True, help="How many firewalls."
        ),
        click.option("--one-arm", is_flag=True, help="Routers, directors and firewalls share one network per side."),
        click.option("--one-box", is_flag=True, help="One director does the work of both, with two zones."),
    ):
        command = option(command)
    return command


def _shape(*, one_box: bool, one_arm: bool) -> Shape:
    if one_box and one_arm:
        raise click.UsageError("--one-box and --one-arm are different drawings: take one of them")
    return Shape.ONE_BOX if one_box else Shape.ONE_ARM if one_arm else Shape.TWO_BOX


@click.command()
@topology_options
@click.option("--no-last-hop", is_flag=True, help="Show the problem: a plain router in place of the inner director.")
@click.option("--connections", type=click.IntRange(1, _CONNECTIONS_MAX), help=f"How many; default {_CONNECTIONS}.")
@click.option("--json", "as_json", is_flag=True, help="JSON as the last line on stdout; text goes to stderr.")
@click.option("--keep", is_flag=True, help="Leave the topology standing, and say how to use it.")
def demo(  # noqa: PLR0913 - click hands every option over by name
    *,
    one_box: bool,
    one_arm: bool,
    firewalls: int,
    mode: str,
    no_last_hop: bool,
    connections: int | None,
    as_json: bool,
    keep: bool,
) -> None:
    """Build the sandwich in network namespaces, send real traffic through it, show that it works and how.

    Exit code 0: everything held (with --no-last-hop: the failure was shown); 1: it did not.
    """
    shape = _shape(one_box=one_box, one_arm=one_arm)
    if no_last_hop and (one_box or firewalls == 1):
        raise click.UsageError("--no-last-hop needs a second box to be the router, and two firewalls to choose from")
    check_requirements("curl")
    from lasthop.lab.demonstration import load
    from lasthop.lab.presentation import Presentation, console

    show = Presentation(console(to_stderr=as_json))
    blueprint = Blueprint(
        shape,
        firewalls,
        no_last_hop=no_last_hop,
        balancing=Balancing(LegModes(mode)),
        offloads=False,
    )
    wanted = load(
        connections or (_CONNECTIONS_NO_LAST_HOP if no_last_hop else _CONNECTIONS), from_inside=not no_last_hop
    )
    show.title(f"lasthop demo: {shape}, {firewalls} firewalls, {mode}{', no last hop' if no_last_hop else ''}")
    outcome = _demonstrate(blueprint, wanted, show, keep=keep)
    if as_json:
        click.echo(json.dumps(outcome.as_json()))
    held = outcome.shows_the_problem if no_last_hop else outcome.holds
    sys.exit(0 if held else 1)


def _demonstrate(blueprint: Blueprint, wanted: Load, show: Presentation, *, keep: bool) -> Outcome:
    from lasthop.lab.demonstration import demonstrate

    lab = Topology(blueprint, start_directors=False)
    show.draw(lab.layout, inner_router=blueprint.no_last_hop)
    with ExitStack() as stack:
        with show.step("building network namespaces") as words:
            stack.enter_context(lab)
            words.append(f"{len(lab.layout.boxes) + 1} of them, named {lab.namespace('client')} and so on")
        with show.step("starting servers and directors") as words:
            lab.serve()
            lab.start_directors()
            words.append(" and ".join(director.name for director in lab.directors.values()))
        with show.step("opening connections") as words:
            outcome = demonstrate(lab, wanted)
            words.append(_words(wanted))
        show.firewalls(outcome)
        show.connections(outcome)
        _conclude(blueprint, outcome, show)
        if keep:
            lab.keep()
            _hint(lab, show)
    return outcome


def _words(wanted: Load) -> str:
    kinds = {
        "curl": wanted.curl,
        "HTTP": wanted.http,
        "UDP": wanted.udp,
        "ping": wanted.icmp,
        "HTTP opened from inside": wanted.http_from_inside,
    }
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)


def _conclude(blueprint: Blueprint, outcome: Outcome, show: Presentation) -> None:
    total = len(outcome.attempts)
    symmetric = len(outcome.symmetry.firewall_of)
    show.title("Verdict")
    if blueprint.no_last_hop:
        dropped = sum(view.packets.invalid for view in outcome.symmetry.per_firewall.values())
        show.verdict(
            outcome.shows_the_problem,
            f"the problem shows: {total - outcome.completed:,} of {total:,} connections failed",
        )
        show.line(f"       Firewalls dropped {dropped:,} packets: another one had seen the connection's requests.")
        show.line("       With a director in the router's place (lasthop demo) responses go to the last hop.")
        return
    show.verdict(outcome.completed == total, f"complete: {outcome.completed:,} of {total:,} connections were answered")
    show.verdict(
        outcome.symmetry.holds,
        f"symmetric: {symmetric:,} of {total:,} responses crossed the firewall that saw the request, and no other",
    )
    for proof in outcome.transparency:
        show.verdict(
            proof.holds,
            f"transparent: {proof.entered:,} packets entered {proof.director}, {proof.identical:,} left it"
            " byte-identical above layer 2",
        )
    for director, counted in outcome.unexpected.items():
        if counted:
            show.line(f"       {director} counted what should stay zero: {counted}")
    if not outcome.holds:
        show.failures(outcome)


def _hint(lab: Topology, show: Presentation) -> None:
    program = _program()
    director = next(iter(lab.directors.values()))
    show.title("The topology stays. Try:")
    for command in (
        f"{program} --director {director.name} connections",
        f"{program} --director {director.name} servers",
        f"nsenter --net={NAMESPACES}/{lab.namespace('client')} curl http://{WWW_ADDRESS}/",
        f"nsenter --net={NAMESPACES}/{lab.namespace('fw1')} nft list ruleset",
        f"nsenter --net={NAMESPACES}/{lab.namespace(director.box)} bash",
        f"ls {lab.folder}   # configuration and logs of the directors",
        f"{program} lab-clean {lab.suffix}   # removes it",
    ):
        show.line(f"  {command}")


def _program() -> str:
    """How this program is called from a shell: by name if that is it, else by its interpreter."""
    beside = Path(sys.executable).with_name("lasthop")
    if not beside.exists():
        return f"{sys.executable} -m lasthop"
    found = shutil.which("lasthop")
    return "lasthop" if found and Path(found).resolve() == beside.resolve() else str(beside)


@click.command()
@topology_options
@click.option("--namespace", "box", help="The box to be in: client, ro, lb1, fw1, lb2, ri, www; default: a director.")
@click.option("--command", "script", help="A shell command to run instead of an interactive shell.")
def lab_shell(*, one_box: bool, one_arm: bool, firewalls: int, mode: str, box: str | None, script: str | None) -> None:
    """Open a shell in a box of a topology with directors and servers running; leaving it removes everything.

    Exit code: the shell's.
    """
    blueprint = Blueprint(
        _shape(one_box=one_box, one_arm=one_arm), firewalls, balancing=Balancing(LegModes(mode)), offloads=False
    )
    lab = Topology(blueprint, start_directors=False)
    chosen = box or next(iter(lab.directors))
    place = lab.namespace(chosen)
    with lab:
        lab.serve()
        lab.start_directors()
        shell = os.environ.get("SHELL", "/bin/sh")
        if script is None:
            _welcome(lab, chosen)
        environment = os.environ | {f"LASTHOP_{name.upper()}": d.name for name, d in lab.directors.items()}
        director = lab.directors.get(chosen) or next(iter(lab.directors.values()))
        environment["LASTHOP_DIRECTOR"] = director.name
        # Where this program was installed: what is called `lasthop` outside is called so inside.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        with inside(place):
            done = subprocess.run([shell, *(["-c", script] if script else [])], env=environment, check=False)
    sys.exit(done.returncode)


def _welcome(lab: Topology, box: str) -> None:
    from lasthop.lab.presentation import Presentation, console

    show = Presentation(console(to_stderr=True))
    show.draw(lab.layout, inner_router=False)
    show.line(f"  This shell is in {box}. Other boxes: nsenter --net={NAMESPACES}/{lab.namespace('client')} bash")
    show.line(f"  Directors: {', '.join(director.name for director in lab.directors.values())}; files: {lab.folder}")
    show.line(f"  Try: {_program()} connections, {_program()} hops. Leave the shell, and everything is removed.")


@click.command()
@click.argument("suffixes", nargs=-1)
def lab_clean(suffixes: tuple[str, ...]) -> None:
    """Remove topologies that were kept, or that a crashed run left behind: those named, or all of them.

    A topology whose builder still runs is left alone.
    """
    check_requirements()
    known = {record.suffix: record for record in ownership.records()}
    for suffix in suffixes:
        if suffix not in known:
            raise LabError(f"there is no topology {suffix!r}", f"known: {', '.join(known) or 'none'}")
        if not known[suffix].abandoned:
            raise LabError(f"topology {suffix} is in use by process {known[suffix].pid}", "end that process")
    removed = [*suffixes]
    for suffix in suffixes:
        known[suffix].remove()
    if not suffixes:
        removed = ownership.remove_abandoned(kept=True)
    click.echo(f"removed: {', '.join(removed)}" if removed else "nothing to remove")
