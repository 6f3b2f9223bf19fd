"""`ipvsadm -R`: a file of command lines, made one list of edits.

All lines are read before anything is changed, and a director makes all of a list's edits or none: a bad file changes
nothing. A real -R stops at the first bad line, with those above it done. As there, nothing is cleared first, and the
word ``ipvsadm`` may stand anywhere; lines that begin with # are skipped, which a real -R leaves to ipvsadm-restore.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from lasthop.cli.ipvsadm.edits import changes, edit_of
from lasthop.cli.ipvsadm.names import endpoint
from lasthop.cli.ipvsadm.refusal import REFUSED, TRY_HELP, IpvsadmError, of_edit
from lasthop.cli.ipvsadm.request import parse
from lasthop.errors import EditError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lasthop.api.client import Client, Report
    from lasthop.cli.ipvsadm.edits import Edit

_SERVER_WORDS = 8
#: Digits of a weight that is in range, whatever they are.
_SHORT = 9


class Restored:
    """The edits of a file, each with the line it comes from."""

    def __init__(self, lines: Iterable[str], first: Sequence[Edit] = ()) -> None:
        """Read all of `lines`; the edits `first` come before theirs. Raises IpvsadmError with number and text."""
        self.edits: list[Edit] = list(first)
        self._lines: list[tuple[int, str]] = [(0, "")] * len(first)
        for number, line in enumerate(lines, 1):
            words = line.split()
            if "ipvsadm" in words:
                words = [word for word in words if word != "ipvsadm"]
            if not words or words[0].startswith("#"):
                continue
            try:
                self.edits.append(_server_edit(words) or _edit(words))
            except IpvsadmError as error:
                raise error.at(number, " ".join(words)) from None
            self._lines.append((number, line))

    def send(self, client: Client) -> Report:
        """Make all edits or none; the fields of EditReport. Raises IpvsadmError with number and text of the line."""
        try:
            return client.edit(self.edits)
        except EditError as error:
            if not 0 <= error.index < len(self.edits):
                raise
            number, line = self._lines[error.index]
            refusal = of_edit(self.edits[error.index]["kind"], error)
            raise (refusal.at(number, " ".join(line.split())) if number else refusal) from None


def _server_edit(words: list[str]) -> Edit | None:
    """The edit of ``-a SERVICE -r ADDRESS -g -w WEIGHT``, the line that -S writes for each of 65,000 real servers.

    It is what `_edit` makes of it, in a fifth of the time; None for a line that is not so plain.
    """
    if len(words) != _SERVER_WORDS or (words[0], words[3], words[5], words[6]) != ("-a", "-r", "-g", "-w"):
        return None
    (label, family), (address, server_family), weight = _label(words[1], words[2]), _address(words[4]), words[7]
    if not (
        label
        and address
        and family == server_family
        and weight.isascii()
        and weight.isdecimal()
        and len(weight) <= _SHORT
    ):
        return None
    edit: Edit = {"kind": "add_server", "service": label, "address": address}
    if int(weight) != 1:
        edit["weight"] = int(weight)
    return edit


@cache
def _label(option: str, text: str) -> tuple[str, int]:
    """Label and family of a service; an empty one if it is none that a plain line may have."""
    try:
        request = parse(["-D", option, text])
    except IpvsadmError:
        return "", 0
    return request.label, request.family


@cache
def _address(text: str) -> tuple[str, int]:
    """Address and family of a real server that was typed as one; otherwise an empty one."""
    found = endpoint(text, "")
    return (found.address, found.family) if found is not None and not found.name else ("", 0)


def _edit(words: list[str]) -> Edit:
    request = parse(words)
    if request.command == "restore":
        raise IpvsadmError(TRY_HELP, REFUSED)
    if not changes(request.command):
        raise IpvsadmError(f"lasthop: '{request.command}' changes nothing that can be restored; leave the line out")
    return edit_of(request)
