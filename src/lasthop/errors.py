"""Every error lasthop raises on purpose; nothing else lives here.

    LasthopError
    ├── ConfigurationError      a configuration file; carries every Mistake found in it
    ├── NetworkError            an interface, address or neighbour, as the kernel has it
    ├── DataPlaneError          programs, maps, pins and attachments
    │   ├── VerifierError       the kernel refused a program; carries the verifier's log
    │   └── ForeignPinsError    pins that another or an incompatible lasthop made
    ├── DirectorError           what a running director refuses or cannot do
    │   ├── EditError           one edit of the running configuration; carries its place in the list
    │   └── NotRunningError     no director answers on the socket
    └── LabError                a topology of the lab could not be built or used

A message is one line: operation, object, cause; then the remedy, e.g.
``can't attach to leg 'outside' (eth1): driver has no native XDP; set mode = "tc" on this leg``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class LasthopError(Exception):
    """An error with a remedy.

    `problem` states operation, object and cause; `remedy` is what the operator can do about it.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a configuration file."""

    key: str
    """Where: a dotted path such as ``service[0].real_server[2].address``."""
    value: str
    """What stood there, as text; empty if the key is missing."""
    problem: str
    remedy: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.key}{shown}: {self.problem}; {self.remedy}"


class ConfigurationError(LasthopError):
    """A configuration file cannot be used. `mistakes` holds all of them, in file order."""

    def __init__(self, file: str, mistakes: Sequence[Mistake]) -> None:
        self.file = file
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{file}: {mistake}" for mistake in self.mistakes), "")


class NetworkError(LasthopError):
    """An interface, address or neighbour is not as it must be."""


class DataPlaneError(LasthopError):
    """Programs, maps, pins or attachments could not be handled as asked."""


class VerifierError(DataPlaneError):
    """The kernel refused a program. `log` is the verifier's own text."""

    def __init__(self, problem: str, remedy: str, log: str) -> None:
        super().__init__(problem, remedy)
        self.log = log


class ForeignPinsError(DataPlaneError):
    """The pins found belong to another director or to an incompatible lasthop."""


class DirectorError(LasthopError):
    """The director refuses a request or cannot fulfil it."""


class EditError(DirectorError):
    """An edit of the running configuration cannot be made; none of the edits given with it was.

    `code` says what is wrong in one word of `lasthop.model.edit.REFUSALS`, `index` which edit it was, from 0.
    """

    def __init__(self, problem: str, remedy: str, code: str, index: int = 0) -> None:
        super().__init__(problem, remedy)
        self.code = code
        self.index = index


class NotRunningError(DirectorError):
    """No director answers on the socket."""


class LabError(LasthopError):
    """A topology of the lab could not be built or used."""
