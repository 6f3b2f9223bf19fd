"""`lasthop token`: a token for the API over TCP. Asks no director: what counts is the line in its file."""

from __future__ import annotations

import click

from lasthop.model.access import Role
from lasthop.model.token import NAME, made


def _name(_context: click.Context, _argument: click.Parameter, text: str) -> str:
    if not NAME.fullmatch(text):
        raise click.BadParameter(f"{text!r}: use letters, digits, '_', '.', '@', '-', a letter or digit first.")
    return text


@click.command("token")
@click.argument("name", callback=_name)
@click.option(
    "--role",
    type=click.Choice([role.word for role in Role]),
    default=Role.READER.word,
    show_default=True,
    help="Ask only, or change things too.",
)
def token(name: str, role: str) -> None:
    """Make a token for NAME, who may use the API over TCP.

    The token goes to standard output, and is nowhere else: `(umask 077; lasthop token NAME > FILE)` keeps it.
    Its line for the file of `[api] tokens` goes to standard error. The director knows it after its next reload.
    """
    secret, known = made(name, Role[role.upper()])
    click.echo(secret)
    click.echo(known.line, err=True)
