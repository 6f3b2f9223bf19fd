"""The way to a director: which one, its socket, and what can go wrong on it in lasthop's errors.

Owns HTTP for `lasthop.api.client`, and the unix socket; TCP is `lasthop.api.far`'s. Standard library only: a command
must not wait for more.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlencode

from lasthop.api.far import SILENCE_S, Credentials, Far, is_far
from lasthop.api.location import SOCKET_DIRECTORY, running, socket_path
from lasthop.errors import ConfigurationError, DirectorError, EditError, LasthopError, Mistake, NotRunningError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Report = dict[str, Any]
Filter = str | float | Sequence[str] | None
Filters = dict[str, Filter]

PORTION = 1 << 16
FIRST_REFUSAL = 400
START = "start one with: lasthop run FILE"
#: Header of a list that may be a part: how many there are.
TOTAL = "Lasthop-Total"
STRANGE = "see that its version is that of this command: lasthop --version"


class Channel:
    """Speaks to one director. Nothing is opened before the first question.

    `name` is the director's, or where it listens for TCP (``https://lb1:8443``); None means the only one that runs
    here. Every method raises NotRunningError when no director answers, DirectorError when it refuses or fails.
    """

    def __init__(
        self, name: str | None = None, directory: Path = SOCKET_DIRECTORY, credentials: Credentials | None = None
    ) -> None:
        self._name = name
        self._directory = directory
        self._credentials = credentials or Credentials()

    @property
    def is_far(self) -> bool:
        """Whether the director is reached over TCP: it may be another machine's."""
        return is_far(self._name)

    def copy(self, noun: str, output: BinaryIO, filters: Mapping[str, Filter] | None = None) -> int | None:
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

    def stay(self) -> str:
        """Put all questions to the director that this one would go to, also when it is gone; return its name."""
        self._name = self.director()
        return self._name

    def reports(self, noun: str, filters: Mapping[str, Filter] | None = None) -> list[Report]:
        """A noun's list. Raises DirectorError where it is not JSON."""
        reports: list[Report] = self.document(noun, filters)
        return reports

    def document(self, noun: str, filters: Mapping[str, Filter] | None = None) -> Any:  # noqa: ANN401 - JSON is what it is
        """A noun's document. Raises DirectorError where it is not JSON."""
        with self.answer("GET", noun, filters) as answer:
            return self.parsed(answer.read())

    def parsed(self, body: bytes) -> Any:  # noqa: ANN401 - JSON is what it is
        """An answer's JSON. Raises DirectorError where it is none."""
        try:
            return json.loads(body)
        except ValueError as problem:
            raise DirectorError(f"can't understand {self._way().told}: its answer is not JSON", STRANGE) from problem

    @contextmanager
    def answer(
        self,
        method: str,
        noun: str,
        filters: Mapping[str, Filter] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[_Answer]:
        """Ask, and read the answer while the context lasts. Raises what the director answered instead."""
        way = self._way()
        connection = way.connection()
        try:
            with _explained(way):
                sent = (
                    way.headers() | ({} if body is None else {"Content-Type": "application/json"}) | dict(headers or {})
                )
                with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent: see why
                    connection.request(method, _target(noun, filters or {}), body, sent)
                response = connection.getresponse()
                if response.status >= FIRST_REFUSAL:
                    raise _refusal(way.told, response)
            yield _Answer(way, response)
        finally:
            connection.close()

    def _way(self) -> _Near | Far:
        name = self.director()
        return Far(name, self._credentials) if is_far(name) else _Near(name, self._directory)


class _Answer:
    """A director's answer; only reading it is explained: a pipe that the caller writes to is not the director's."""

    def __init__(self, way: _Near | Far, response: http.client.HTTPResponse) -> None:
        self._way = way
        self._response = response
        total = response.headers.get(TOTAL, "")
        self.total = int(total) if total.isdecimal() else None

    def read(self, size: int | None = None) -> bytes:
        with _explained(self._way):
            return self._response.read(size)

    def read_line(self) -> bytes:
        """A line as it comes; empty at the end."""
        with _explained(self._way):
            return self._response.readline()


@contextmanager
def _explained(way: _Near | Far) -> Iterator[None]:
    """Turn what a socket can throw into an error with a remedy."""
    try:
        yield
    except (OSError, http.client.HTTPException) as problem:
        raise way.error(problem) from problem


class _Near:
    """The way to a director of this machine."""

    def __init__(self, name: str, directory: Path) -> None:
        self.told = f"director '{name}'"
        self._directory = directory
        self._path = socket_path(name, directory)

    def connection(self) -> http.client.HTTPConnection:
        return _UnixConnection(str(self._path))

    def headers(self) -> dict[str, str]:
        return {}

    def error(self, problem: Exception) -> LasthopError:
        if isinstance(problem, ConnectionRefusedError | FileNotFoundError):
            others = ", ".join(running(self._directory))
            return NotRunningError(
                f"can't reach {self.told}: it does not run", f"running here: {others}" if others else START
            )
        if isinstance(problem, PermissionError):
            return DirectorError(
                f"can't reach {self.told}: {problem.strerror}",
                "run as root, or as a user in the group of readers (configuration file, [api] readers)",
            )
        if isinstance(problem, TimeoutError):
            return DirectorError(
                f"can't get an answer from {self.told}: silent for {SILENCE_S:.0f} s",
                "it may be busy: try again, then look at its log; packets are forwarded meanwhile",
            )
        return DirectorError(
            f"can't get an answer from {self.told}: {str(problem) or type(problem).__name__}",
            "it may just have stopped: try again, then look at its log",
        )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("lasthop", timeout=SILENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # With Python's own time-out a full backlog would be an error at once: unix(7), EAGAIN.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(SILENCE_S), 0))
        self.sock.connect(self._path)
        self.sock.settimeout(SILENCE_S)


def _target(noun: str, filters: Mapping[str, Filter]) -> str:
    """Nouns are below /v1; what begins with a slash is a path. A filter of several is repeated."""
    query = urlencode({key: value for key, value in filters.items() if value is not None}, doseq=True)
    path = noun if noun.startswith("/") else f"/v1/{noun}"
    return f"{path}?{query}" if query else path


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
        return DirectorError(f"can't understand {director}: HTTP status {response.status} without a reason", STRANGE)
