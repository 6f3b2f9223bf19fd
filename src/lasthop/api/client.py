"""The API's client: what the command line and other front ends use.

Owns the choice of a director and the translation of what goes wrong into lasthop's errors. Standard
library only, and neither the server nor a model is imported: a command must not wait for them.
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import urlencode

from lasthop.api.location import SOCKET_DIRECTORY, running, socket_path
from lasthop.errors import ConfigurationError, DirectorError, EditError, LasthopError, Mistake, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Report = dict[str, Any]
Filters = dict[str, str | float | None]

#: Seconds without a byte from the director: far more than it ever needs.
SILENCE_S = 30.0
PORTION = 1 << 16
FIRST_REFUSAL = 400
START = "start one with: lasthop run FILE"
#: Header of a list that may be a part: how many there are.
TOTAL = "Lasthop-Total"
STRANGE = "see that its version is that of this command: lasthop --version"


class Part(NamedTuple):
    """Some reports of many."""

    total: int
    reports: list[Report]


class Client:
    """Speaks to one director. Nothing is opened before the first question.

    `name` is the director's; None means the only one that runs here. Every method raises
    NotRunningError when no director answers, DirectorError when it refuses or fails.
    """

    def __init__(self, name: str | None = None, directory: Path = SOCKET_DIRECTORY) -> None:
        self._name = name
        self._directory = directory

    def status(self) -> Report:
        """Fields of StatusReport."""
        report: Report = self._json("status")
        return report

    def legs(self) -> list[Report]:
        """Fields of LegReport each."""
        return self._list("legs")

    def services(self) -> list[Report]:
        """Fields of ServiceReport each."""
        return self._list("services")

    def servers(self) -> list[Report]:
        """Fields of ServerReport each."""
        return self._list("servers")

    def connections(self, **filters: str | float | None) -> list[Report]:
        """Fields of ConnectionReport each.

        Filters: service, server, state, client, older_than (seconds), top (packets, bytes, age), limit; None is none.
        """
        return self.some_connections(**filters).reports

    def some_connections(self, **filters: str | float | None) -> Part:
        """`connections`, and how many there would be without a limit."""
        with self._answer("GET", "connections", filters) as answer:
            reports: list[Report] = self._parsed(answer.read())
            return Part(len(reports) if answer.total is None else answer.total, reports)

    def count_connections(self, **filters: str | float | None) -> int:
        """How many connections there are. Filters: service, server, state, client, older_than."""
        return int(self._json("connections/count", filters)["connections"])

    def hops(self) -> list[Report]:
        """Fields of HopReport each."""
        return self._list("hops")

    def counters(self) -> list[Report]:
        """Fields of CounterReport each."""
        return self._list("counters")

    def templates(self) -> list[Report]:
        """Fields of TemplateReport each."""
        return self._list("templates")

    def timeouts(self) -> Report:
        """Fields of TimeoutsReport."""
        report: Report = self._json("timeouts")
        return report

    def zero(self, service: str | None = None) -> None:
        """Set the statistics of a service and its real servers to zero, or all.

        Raises DirectorError for an unknown service.
        """
        with self._answer("POST", "zero", {"service": service}):
            pass

    def apply(self, file: str, text: str, *, dry_run: bool = False) -> Report:
        """Let `text`, which is in `file`, be the configuration, or say what it would change. Fields of ChangeReport.

        Raises ConfigurationError with every mistake in it; nothing has changed then, nor after DirectorError.
        """
        body = json.dumps({"file": file, "text": text, "dry_run": dry_run}).encode()
        with self._answer("POST", "apply", body=body) as answer:
            report: Report = json.loads(answer.read())
        return report

    def edit(self, edits: list[Report]) -> Report:
        """Make edits of the running configuration, all or none; each has the fields of one of `lasthop.model.edit`'s.

        Returns the fields of EditReport. Raises EditError, which knows the place of the edit that was refused.
        """
        with self._answer("POST", "edit", body=json.dumps(edits).encode()) as answer:
            report: Report = json.loads(answer.read())
        return report

    def dump(self) -> str:
        """The running configuration as the text of a configuration file."""
        with self._answer("GET", "dump") as answer:
            return answer.read().decode()

    def detach(self) -> None:
        """Take the data plane out of the kernel; all connections are forgotten."""
        with self._answer("POST", "detach"):
            pass

    def copy(self, noun: str, output: BinaryIO, filters: Filters | None = None) -> int | None:
        """Write the director's JSON document of `noun` to `output` as it comes, however long it is.

        Returns how many reports there are if the document may have a part of them.
        """
        with self._answer("GET", noun, filters) as answer:
            while portion := answer.read(PORTION):
                rest = memoryview(portion)
                while rest:  # standard output is unbuffered under PYTHONUNBUFFERED, and then writes what it can
                    rest = rest[output.write(rest) :]
        output.flush()
        return answer.total

    def director(self) -> str:
        """Name of the director that questions go to."""
        if self._name is not None:
            return self._name
        found = running(self._directory)
        if not found:
            raise NotRunningError("can't reach a director: none runs here", START)
        if len(found) > 1:
            raise DirectorError(
                f"can't choose a director: {len(found)} run here ({', '.join(found)})",
                "name one: --director NAME or LASTHOP_DIRECTOR=NAME",
            )
        return found[0]

    def _list(self, noun: str, filters: Filters | None = None) -> list[Report]:
        reports: list[Report] = self._json(noun, filters)
        return reports

    def _json(self, noun: str, filters: Filters | None = None) -> Any:  # noqa: ANN401 - JSON is what it is
        with self._answer("GET", noun, filters) as answer:
            return self._parsed(answer.read())

    def _parsed(self, body: bytes) -> Any:  # noqa: ANN401 - JSON is what it is
        try:
            return json.loads(body)
        except ValueError as problem:
            raise DirectorError(
                f"can't understand director '{self.director()}': its answer is not JSON", STRANGE
            ) from problem

    @contextmanager
    def _answer(
        self, method: str, noun: str, filters: Filters | None = None, body: bytes | None = None
    ) -> Iterator[_Answer]:
        director = self.director()
        connection = _UnixConnection(str(socket_path(director, self._directory)))
        try:
            with _explained(director, self._directory):
                headers = {} if body is None else {"Content-Type": "application/json"}
                connection.request(method, _target(noun, filters or {}), body, headers)
                response = connection.getresponse()
                if response.status >= FIRST_REFUSAL:
                    raise _refusal(director, response)
            yield _Answer(director, self._directory, response)
        finally:
            connection.close()


class _Answer:
    """A director's answer; only reading it is explained: a pipe that the caller writes to is not the director's."""

    def __init__(self, director: str, directory: Path, response: http.client.HTTPResponse) -> None:
        self._director = director
        self._directory = directory
        self._response = response
        total = response.headers.get(TOTAL, "")
        self.total = int(total) if total.isdecimal() else None

    def read(self, size: int | None = None) -> bytes:
        with _explained(self._director, self._directory):
            return self._response.read(size)


@contextmanager
def _explained(director: str, directory: Path) -> Iterator[None]:
    """Turn what a socket can throw into an error with a remedy."""
    try:
        yield
    except (ConnectionRefusedError, FileNotFoundError) as problem:
        others = ", ".join(running(directory))
        raise NotRunningError(
            f"can't reach director '{director}': it does not run", f"running here: {others}" if others else START
        ) from problem
    except PermissionError as problem:
        raise DirectorError(f"can't reach director '{director}': {problem.strerror}", "run as root") from problem
    except TimeoutError as problem:
        raise DirectorError(
            f"can't get an answer from director '{director}': silent for {SILENCE_S:.0f} s",
            "it may be busy: try again, then look at its log; packets are forwarded meanwhile",
        ) from problem
    except (OSError, http.client.HTTPException) as problem:
        raise DirectorError(
            f"can't get an answer from director '{director}': {str(problem) or type(problem).__name__}",
            "it may just have stopped: try again, then look at its log",
        ) from problem


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("lasthop", timeout=SILENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(SILENCE_S)
        self.sock.connect(self._path)


def _target(noun: str, filters: Mapping[str, str | float | None]) -> str:
    query = urlencode({key: value for key, value in filters.items() if value is not None})
    return f"/v1/{noun}?{query}" if query else f"/v1/{noun}"


def _refusal(director: str, response: http.client.HTTPResponse) -> LasthopError:
    """The director's own words; a body that is not its JSON means that something else listens there."""
    try:
        told = json.loads(response.read())
        if "mistakes" in told:
            return ConfigurationError(str(told["file"]), [Mistake(**each) for each in told["mistakes"]])
        if "code" in told:
            return EditError(str(told["problem"]), str(told["remedy"]), str(told["code"]), int(told["index"]))
        return DirectorError(str(told["problem"]), str(told["remedy"]))
    except (ValueError, KeyError, TypeError):
        return DirectorError(
            f"can't understand director '{director}': HTTP status {response.status} without a reason", STRANGE
        )
