"""lasthop(1): one page with every command, made from the command line itself.

Owns the page's order. What commands say of themselves is in `lasthop.cli` and `lasthop.daemon`.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import click

from distribution import roff
from lasthop.__main__ import COMMANDS, program

if TYPE_CHECKING:
    from collections.abc import Iterator

_FILES = (
    ("/etc/lasthop/NAME.toml", "the configuration of the service `lasthop@NAME`; see `lasthop.toml`(5)"),
    ("/run/lasthop/NAME.sock", "where the director of that name is asked and ordered"),
    ("/var/lib/lasthop/NAME.json", "edits that commands made; a restart makes them again"),
    ("/sys/fs/bpf/lasthop/NAME/", "the data plane: it goes on forwarding when the director ends"),
)
_STATUSES = (
    ("0", "done"),
    ("1", "failed; the last line says why, and what to do"),
    ("2", "wrong usage"),
    ("130", "interrupted"),
)
_ENVIRONMENT = (
    ("LASTHOP_DIRECTOR", "the director to ask, as `--director` says it"),
    ("LASTHOP_TRACEBACK", "1: an error shows where it comes from"),
)


def page(version: str, date: str) -> str:
    """The page's source."""
    context = click.Context(program, info_name="lasthop")
    lines = [
        *roff.title("lasthop", 1, date, version),
        *roff.heading("NAME"),
        r"lasthop \- transparent load balancer for firewalls, with auto last hop",
        *roff.heading("SYNOPSIS"),
        rf"{roff.bold('lasthop')} [\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        *roff.heading("DESCRIPTION"),
        *_prose(program.help or ""),
        *roff.heading("OPTIONS"),
        *_options(program, context),
    ]
    for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
        lines += roff.heading(section.upper())
        for name in (name for name, entry in COMMANDS.items() if entry.section == section):
            lines += _command(name, context)
    for heading, rows in (("FILES", _FILES), ("EXIT STATUS", _STATUSES), ("ENVIRONMENT", _ENVIRONMENT)):
        lines += roff.heading(heading)
        for tag, told in rows:
            lines += roff.item(roff.bold(tag), roff.words(told))
    lines += [*roff.heading("SEE ALSO"), r"\fBlasthop.toml\fR(5), \fBsystemctl\fR(1), \fBip\fR(8), \fBbpf\fR(2)"]
    return "\n".join([*lines, ""])


def _command(name: str, context: click.Context) -> Iterator[str]:
    command = program.get_command(context, name)
    if command is None or command.hidden:
        return
    yield from _described(command, name, context)


def _described(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    yield from roff.subheading(f"{context.command_path} {' '.join(command.collect_usage_pieces(context))}")
    yield from _prose(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            within = command.get_command(context, sub)
            if within is not None and not within.hidden:
                yield from _described(within, sub, context)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record and "--help" not in parameter.opts:
            yield from roff.item(roff.bold(record[0]), roff.words(record[1] or ""))


def _prose(text: str) -> Iterator[str]:
    """A help text: paragraphs, and those behind click's mark left as they are."""
    for part in inspect.cleandoc(text).split("\n\n"):
        if part.startswith("\b\n"):
            yield from roff.verbatim(part.removeprefix("\b\n"))
        else:
            yield from roff.paragraph(roff.words(" ".join(part.split())))
