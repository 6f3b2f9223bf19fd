"""ipvsadm as a program: one command line done.

Owns what each command does with a director, and the exit codes. How the process ends otherwise, interrupted or with its
reader gone, is `lasthop.start`'s and `lasthop.__main__`'s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.cli.ipvsadm import refusal
from lasthop.cli.ipvsadm.edits import edit_of
from lasthop.cli.ipvsadm.refusal import IpvsadmError, of_edit, said, unsupported
from lasthop.cli.ipvsadm.request import Request, parse
from lasthop.errors import DirectorError, EditError, LasthopError, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lasthop.api.client import Client
    from lasthop.cli.ipvsadm.edits import Edit
    from lasthop.cli.ipvsadm.formats import ServiceRow
    from lasthop.cli.ipvsadm.names import Names
    from lasthop.cli.ipvsadm.restore import Restored

#: What the program may be called, by a symbolic link, to be ipvsadm.
NAMES = ("ipvsadm", "ipvsadm-save", "ipvsadm-restore")
_SAVE_HELP = """\
ipvsadm-save: Script to save the IPVS table to stdout.
   With the -n option, prints out the table in numeric format.
"""


def called(name: str, words: Sequence[str], client: Client) -> int:
    """Do what the program of this name does, one of `NAMES`; the exit code."""
    if name == "ipvsadm-save":
        if any(word.startswith("-") and word != "-n" for word in words):
            sys.stderr.write(_SAVE_HELP)
            return 1
        return run(["-S", "-n"] if "-n" in words else ["-S"], client)
    if name == "ipvsadm-restore":
        return _ended(_replace, Request("restore"), client)
    return run(words, client)


def run(words: Sequence[str], client: Client) -> int:
    """Do what `words` say, a command line without the program's name; the exit code."""
    try:
        request = parse(words) if words else Request("list")
    except IpvsadmError as error:
        sys.stderr.write(f"{error.text}\n")
        return error.status
    return _ended(_DO.get(request.command, _change), request, client)


def _ended(work: Callable[[Request, Client], None], request: Request, client: Client) -> int:
    try:
        work(request, client)
    except IpvsadmError as error:
        sys.stderr.write(f"{error.text}\n")
        return error.status
    except LasthopError as error:
        sys.stderr.write(f"{said(error)}\n")
        if isinstance(error, NotRunningError):
            return refusal.USAGE
        return refusal.UNLISTED if request.command in {"list", "save"} else refusal.REFUSED
    return 0


def _change(request: Request, client: Client) -> None:
    edit = edit_of(request)
    try:
        report = client.edit([edit])
    except EditError as error:
        raise of_edit(edit["kind"], error) from None
    _warn(report["warnings"])


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        sys.stderr.write(f"lasthop: {' '.join(warning.split())}\n")


def _zero(request: Request, client: Client) -> None:
    if not request.has("service-address"):
        client.zero()
        return
    try:
        client.zero(request.label)
    except NotRunningError:
        raise
    except DirectorError:
        if any(service["service"] == request.label for service in client.services()):
            raise
        raise IpvsadmError(refusal.NO_SUCH_SERVICE, refusal.REFUSED) from None


def _restore(_request: Request, client: Client) -> None:
    restored = _read()
    if restored.edits:
        _warn(restored.send(client)["warnings"])


def _replace(_request: Request, client: Client) -> None:
    """What the script ipvsadm-restore does, ``-C`` and ``-R``, but in one list: a bad file clears nothing."""
    _warn(_read({"kind": "clear"}).send(client)["warnings"])


def _read(*first: Edit) -> Restored:
    from lasthop.cli.ipvsadm.restore import Restored

    try:
        return Restored(sys.stdin, first)
    except UnicodeDecodeError:
        raise IpvsadmError("lasthop: can't restore from standard input: it is no text") from None


def _list(request: Request, client: Client) -> None:
    from lasthop.cli.ipvsadm.names import Names

    names = Names(numeric=request.has("numeric"))
    if request.has("connection"):
        _list_connections(request, client, names)
    elif request.has("timeout"):
        from lasthop.cli.ipvsadm.save import seconds_of

        sys.stdout.write("Timeout (tcp tcpfin udp): {} {} {}\n".format(*seconds_of(client.timeouts())))
    elif not request.has("daemon"):  # there is no sync daemon, and nothing to say of none
        _list_services(request, client, names)


def _list_connections(request: Request, client: Client, names: Names) -> None:
    from lasthop.cli.ipvsadm.connections import COLUMNS, ENGINE_COLUMNS, TITLE, ConnectionList

    entries = ConnectionList(client, names)
    sys.stdout.write(f"{TITLE}\n{ENGINE_COLUMNS if request.has('persistent-conn') else COLUMNS}\n")
    entries.print_to(sys.stdout.write)


def _list_services(request: Request, client: Client, names: Names) -> None:
    from lasthop.cli.ipvsadm import formats

    services = _services(request, client)
    kind = next((kind for kind in formats.SHAPES if request.has(kind)), formats.PLAIN)
    lines = [*formats.titles(kind), *formats.lines(services, formats.Shape(kind, names, request.has("exact")))]
    if not request.has("service-address"):
        lines.insert(0, formats.version_line(client.status()["connections_max"]))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _services(request: Request, client: Client) -> list[ServiceRow]:
    from lasthop.cli.ipvsadm.formats import in_order
    from lasthop.cli.ipvsadm.rows import rows_of

    reports = client.services()
    if request.has("service-address"):
        reports = [report for report in reports if report["service"] == request.label]
        if not reports:
            raise IpvsadmError(refusal.NO_SUCH_SERVICE, refusal.UNLISTED)
    rows = rows_of(reports, client.servers())
    return rows if request.has("nosort") else in_order(rows)


def _save(request: Request, client: Client) -> None:
    from lasthop.cli.ipvsadm.names import Names
    from lasthop.cli.ipvsadm.save import saved

    lines = saved(_services(request, client), client.timeouts(), Names(numeric=request.has("numeric")))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _daemon(request: Request, _client: Client) -> None:
    raise unsupported(
        "there is no sync daemon of LVS's kind",
        f"leave --{request.command} out: a second director chooses the same real servers by rendezvous",
    )


def _help(_request: Request, _client: Client) -> None:
    sys.stdout.write(_usage())


def _version(_request: Request, _client: Client) -> None:
    sys.stdout.write(_usage().splitlines(keepends=True)[0])


def _usage() -> str:
    """ipvsadm's own help; its first line is the version."""
    return Path(__file__).with_name("usage.txt").read_text(encoding="ascii")


_DO: dict[str, Callable[[Request, Client], None]] = {
    "list": _list,
    "save": _save,
    "restore": _restore,
    "zero": _zero,
    "start-daemon": _daemon,
    "stop-daemon": _daemon,
    "help": _help,
    "version": _version,
}
