"""The way to a director: which one, its socket, and what can go wrong on it in lasthop's errors.

Owns HTTP over the unix socket for `lasthop.api.client`. Standard library only: a command must not wait for more.
"""

from __future__ import annotations

import http.client
import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO
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


class Channel:
    """Speaks to one director. Nothing is opened before the first question.

    `name` is the director's; None means the only one that runs here. Every method raises
    NotRunningError when no director answers, DirectorError when it refuses or fails.
    """

    def __init__(self, name: str | None = None, directory: Path = SOCKET_DIRECTORY) -> None:
        self._name = name
        self._directory = directory

    def copy(self, noun: str, output: BinaryIO, filters: Filters | None = None) -> int | None:
        """Write the director's JSON document of `noun` to `output` as it comes, however long it is.

        Returns how many reports there are if the document may have a part of them.
        """
        with self.answer("GET", noun, filters) as answer:
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

    def reports(self, noun: str, filters: Filters | None = None) -> list[Report]:
        """A noun's list. Raises DirectorError where it is not JSON."""
        reports: list[Report] = self.document(noun, filters)
        return reports

    def document(self, noun: str, filters: Filters | None = None) -> Any:  # noqa: ANN401 - JSON is what it is
        """A noun's document. Raises DirectorError where it is not JSON."""
        with self.answer("GET", noun, filters) as answer:
            return self.parsed(answer.read())

    def parsed(self, body: bytes) -> Any:  # noqa: ANN401 - JSON is what it is
        """An answer's JSON. Raises DirectorError where it is none."""
        try:
            return json.loads(body)
        except ValueError as problem:
            raise DirectorError(
                f"can't understand director '{self.director()}': its answer is not JSON", STRANGE
            ) from problem

    @contextmanager
    def answer(
        self, method: str, noun: str, filters: Filters | None = None, body: bytes | None = None
    ) -> Iterator[_Answer]:
        """Ask, and read the answer while the context lasts. Raises what the director answered instead."""
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

    def read_line(self) -> bytes:
        """A line as it comes; empty at the end."""
        with _explained(self._director, self._directory):
            return self._response.readline()


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
