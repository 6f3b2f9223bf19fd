"""Why a command line is not done: the text and the exit code.

Owns ipvsadm's words for what a director refuses. What is wrong with the words of a command line is found where they
are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasthop.errors import EditError, LasthopError

#: A command line that cannot be; also what lasthop cannot do, and a director that does not answer.
USAGE = 2
#: What ipvsadm's main returns, -1, as a shell sees it: no option could be read, or the kernel refused.
REFUSED = 255
#: What cannot be listed.
UNLISTED = 1

TRY_HELP = "Try `ipvsadm -h' or 'ipvsadm --help' for more information."
NO_SUCH_SERVICE = "No such service"
NO_SUCH_SERVER = "No such destination"
_NO_SCHEDULER = "Scheduler or persistence engine not found"
_NOT_DEFINED = "Service not defined"

#: (kind of edit, code of its EditError) -> ipvsadm's words.
_WORDS = {
    ("add_service", "service_exists"): "Service already exists",
    ("add_service", "no_such_scheduler"): _NO_SCHEDULER,
    ("edit_service", "no_such_service"): NO_SUCH_SERVICE,
    ("edit_service", "no_such_scheduler"): _NO_SCHEDULER,
    ("delete_service", "no_such_service"): NO_SUCH_SERVICE,
    ("add_server", "no_such_service"): _NOT_DEFINED,
    ("add_server", "server_exists"): "Destination already exists",
    ("edit_server", "no_such_service"): _NOT_DEFINED,
    ("edit_server", "no_such_server"): NO_SUCH_SERVER,
    ("delete_server", "no_such_service"): _NOT_DEFINED,
    ("delete_server", "no_such_server"): NO_SUCH_SERVER,
}


class IpvsadmError(Exception):
    """A command line is not done: `text` goes to standard error, `status` is the exit code."""

    def __init__(self, text: str, status: int = USAGE) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    def at(self, number: int, line: str) -> IpvsadmError:
        """The same of a line of a file that is restored."""
        return IpvsadmError(f"line {number}: {line}: {self.text}", self.status)


def unsupported(what: str, remedy: str) -> IpvsadmError:
    """What ipvsadm can say and lasthop cannot do."""
    return IpvsadmError(f"lasthop: {what}; {remedy}")


def of_edit(kind: str, error: EditError) -> IpvsadmError:
    """A director's refusal of an edit in ipvsadm's words, or in the director's where ipvsadm has none."""
    words = _WORDS.get((kind, error.code))
    return IpvsadmError(said(error) if words is None else words, REFUSED)


def said(error: LasthopError) -> str:
    """An error of lasthop's in one line that says whose it is."""
    return f"lasthop: {' '.join(str(error).split())}"
