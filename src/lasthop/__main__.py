"""The program `lasthop`: which command is where, and how errors end.

Owns the table of commands. A command's module is imported when the command is
run, so that `--help` and the light commands do not wait for the heavy ones.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from lasthop import __version__
from lasthop.errors import VerifierError
from lasthop.start import INTERRUPTED, PIPE_CLOSED, as_ipvsadm, error_lines, forget_stdout

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

NOUNS = "Nouns (read; --json on each)"
PACKETS = "Packets and numbers (look)"
VERBS = "Verbs (write)"
DIRECTOR = "Director"
LAB = "Lab"


class Entry(NamedTuple):
    """Where a command is, and its line in the help."""

    target: str
    section: str
    line: str


COMMANDS: dict[str, Entry] = {
    "status": Entry("lasthop.cli.status:status", NOUNS, "How the director is, in sentences."),
    "legs": Entry("lasthop.cli.legs:legs", NOUNS, "Interfaces the data plane is attached to."),
    "services": Entry("lasthop.cli.services:services", NOUNS, "Virtual services: what a mark leads to."),
    "servers": Entry("lasthop.cli.servers:servers", NOUNS, "Real servers of each service."),
    "connections": Entry("lasthop.cli.connections:connections", NOUNS, "Live connections and their last hops."),
    "templates": Entry("lasthop.cli.templates:templates", NOUNS, "Persistence: which client is bound to whom."),
    "health": Entry("lasthop.cli.health:health", NOUNS, "Health checks of real servers, and what they found."),
    "drains": Entry("lasthop.cli.drain:drains", NOUNS, "Real servers that are drained, and how far they are."),
    "timeouts": Entry("lasthop.cli.timeouts:timeouts", NOUNS, "After how long a silent connection is forgotten."),
    "hops": Entry("lasthop.cli.hops:hops", NOUNS, "Where frames are sent."),
    "counters": Entry("lasthop.cli.counters:counters", NOUNS, "Why packets went the way they did."),
    "events": Entry("lasthop.cli.events:events", NOUNS, "What happened lately, and what happens."),
    "top": Entry("lasthop.tui.command:top", PACKETS, "The director as it goes, live: a screen of views."),
    "metrics": Entry("lasthop.cli.metrics:metrics", PACKETS, "All numbers for Prometheus, as /metrics has them."),
    "explain": Entry("lasthop.cli.explain:explain", PACKETS, "What would become of a packet, and why."),
    "capture": Entry("lasthop.cli.capture:capture", PACKETS, "Frames of a leg with verdict and reason, as pcapng."),
    "drain": Entry("lasthop.cli.drain:drain", VERBS, "Give a real server no new connections; watch it empty."),
    "weight": Entry("lasthop.cli.verbs:weight", VERBS, "Give a real server another weight."),
    "enable": Entry("lasthop.cli.verbs:enable", VERBS, "Let a real server take new connections again."),
    "disable": Entry("lasthop.cli.verbs:disable", VERBS, "Take a real server out at once."),
    "mark": Entry("lasthop.cli.mark:mark", VERBS, "Add or delete a mark rule."),
    "zero": Entry("lasthop.cli.dump:zero", VERBS, "Set statistics to zero."),
    "ipvsadm": Entry("lasthop.cli.ipvsadm.command:ipvsadm", VERBS, "What ipvsadm does, in ipvsadm's words."),
    "run": Entry("lasthop.daemon.commands:run", DIRECTOR, "Run the director of FILE in the foreground."),
    "apply": Entry("lasthop.daemon.apply:apply", DIRECTOR, "Let FILE be the running director's configuration."),
    "dump": Entry("lasthop.cli.dump:dump", DIRECTOR, "The running configuration, as TOML."),
    "import": Entry("lasthop.daemon.commands:import_", DIRECTOR, "A configuration from what keepalived has."),
    "check": Entry("lasthop.daemon.commands:check", DIRECTOR, "Validate the configuration FILE."),
    "doctor": Entry("lasthop.daemon.commands:doctor", DIRECTOR, "What this machine lacks, and what mends it."),
    "token": Entry("lasthop.cli.token:token", DIRECTOR, "A token for the API over TCP, and its line for the file."),
    "detach": Entry("lasthop.daemon.commands:detach", DIRECTOR, "Take the data plane out cleanly."),
    "demo": Entry("lasthop.lab.command:demo", LAB, "Build the sandwich in namespaces and show it work."),
    "lab-clean": Entry("lasthop.lab.command:lab_clean", LAB, "Remove topologies that were kept or left behind."),
    "lab-shell": Entry("lasthop.lab.command:lab_shell", LAB, "A shell inside a topology of the lab."),
}


class Program(click.Group):
    """A group that imports a command when it is asked for, and ends every error in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table, which is that of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Import the command's module and return the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].target.split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer commands and options, without importing any command."""
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=entry.line) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return commands + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the commands by section, without importing any."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name, entry.line) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command; exit 1 with a line on what went wrong, 130 when interrupted, 141 when our reader left."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            forget_stdout()
            ctx.exit(PIPE_CLOSED)
        except Exception as error:
            if os.environ.get("LASTHOP_TRACEBACK") == "1":
                if isinstance(error, VerifierError):
                    click.echo(error.log, err=True)
                raise
            for line in error_lines(error):
                click.echo(f"lasthop: {line}", err=True)
            ctx.exit(1)
        return result


def _directors(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from lasthop.cli.completion import directors

    return directors(ctx, parameter, incomplete)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lasthop", message="%(prog)s %(version)s")
@click.option(
    "--director",
    metavar="NAME",
    envvar="LASTHOP_DIRECTOR",
    shell_complete=_directors,
    help="The director to ask, by name or as https://HOST:PORT; default: LASTHOP_DIRECTOR, or the only one here.",
)
@click.option("--token-file", metavar="FILE", help="The token to show over https; default: LASTHOP_TOKEN_FILE.")
@click.option("--ca", metavar="FILE", help="The CA to believe over https; default: LASTHOP_CA, or the system's.")
@click.pass_context
def program(ctx: click.Context, director: str | None, token_file: str | None, ca: str | None) -> None:
    """Balance stateful firewalls by MAC address, and send responses back through the one that saw the request.

    Exit codes: 0 done, 1 failed, 2 wrong usage. LASTHOP_TRACEBACK=1 shows where an error comes from.
    """
    from lasthop.api.client import Client, Credentials
    from lasthop.api.location import SOCKET_DIRECTORY

    directory = ctx.obj if isinstance(ctx.obj, Path) else SOCKET_DIRECTORY
    ctx.obj = Client(director, directory, Credentials.of(os.environ, token_file, ca))


def main(socket_directory: Path | None = None) -> NoReturn:
    """Run the program and exit, as ipvsadm if it was called so; `socket_directory` replaces /run/lasthop for tests."""
    as_ipvsadm(socket_directory)
    program(prog_name="lasthop", obj=socket_directory)
    raise AssertionError


if __name__ == "__main__":
    main()
