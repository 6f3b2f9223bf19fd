"""Who gets through to the API, and for what: the step before every request.

Owns which role each path needs, and the answers 401 and 403. Who somebody is, is for the door to say that he came by.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import to_json

from lasthop.api.peers import Groups, Peer
from lasthop.model.access import Role
from lasthop.model.event import on_behalf_of
from lasthop.model.token import whose

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lasthop.model.token import Token

_log = logging.getLogger(__name__)

#: What is asked with POST, for the question's length, and changes nothing.
READING_POSTS = frozenset({"/v1/explain"})
#: What shows what packets carry, and has the data plane copy them.
WRITERS_GETS = frozenset({"/v1/capture"})
METRICS = "/metrics"
#: Key in ASGI's state: who is at the other end of a unix socket.
PEER = "peer"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEME = "bearer "


def needed_role(method: str, path: str) -> Role:
    """What a caller must be. Whatever is not known to change nothing takes a writer."""
    if path in WRITERS_GETS:
        return Role.WRITER
    return Role.READER if method in _SAFE or path in READING_POSTS else Role.WRITER


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in."""

    name: str
    role: Role | None
    """None: nothing at all."""
    remedy: str
    """What he could do to be more."""


class UnknownCallerError(Exception):
    """It is not known who is calling; `told` is for the header WWW-Authenticate."""

    def __init__(self, problem: str, remedy: str, told: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.told = told


class Door(Protocol):
    """A way in."""

    def caller(self, scope: Scope) -> Caller:
        """Who asks. Raises UnknownCallerError."""


class UnixDoor:
    """The unix socket: the kernel says who is there, and `groups`, which may change, what he may do."""

    def __init__(self) -> None:
        self.groups = Groups()

    def caller(self, scope: Scope) -> Caller:
        """See Door."""
        peer: Peer = scope["state"][PEER]
        role = self.groups.role(peer)
        key = "readers" if role is None else "writers"
        return Caller(
            str(peer), role, f"run as root, or as a user in the group of {key} (configuration file, [api] {key})"
        )


class TokenDoor:
    """A TCP listener: a token says who is there."""

    def __init__(self, tokens: tuple[Token, ...], *, metrics_open: bool) -> None:
        self._tokens = tokens
        self._metrics_open = metrics_open

    def caller(self, scope: Scope) -> Caller:
        """See Door."""
        where = scope["client"][0] if scope["client"] else "somewhere"
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if not given and self._metrics_open and scope["path"] == METRICS:
            return Caller(f"somebody at {where}", Role.READER, "")
        token = self._token(given, where)
        return Caller(f"token '{token.name}' at {where}", token.role, "use a token whose line says writer")

    def _token(self, given: list[bytes], where: str) -> Token:
        if not given:
            raise UnknownCallerError(
                "no token was given", "give one: --token-file FILE, or the header Authorization: Bearer TOKEN"
            )
        written = given[0].decode("latin-1")
        if len(given) > 1 or written[: len(_SCHEME)].lower() != _SCHEME:
            raise UnknownCallerError(
                "the header Authorization is malformed", "write Authorization: Bearer TOKEN", 'error="invalid_request"'
            )
        token = whose(written[len(_SCHEME) :].strip(), self._tokens)
        if token is None:
            _log.warning("API: a token from %s is none of ours", where)
            raise UnknownCallerError(
                "the token is not one of this director's",
                "see that its line is in the file of [api] tokens, and that the director was reloaded since",
                'error="invalid_token"',
            )
        return token


class Gate:
    """`inner`, for those who come by `door` and may do what they ask for."""

    def __init__(self, inner: ASGIApp, door: Door) -> None:
        self._inner = inner
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer 401 or 403."""
        method, path = scope["method"], scope["path"]
        needed = needed_role(method, path)
        asked = f"can't {method} {path}"
        try:
            caller = self._door.caller(scope)
        except UnknownCallerError as unknown:
            challenge = ", ".join(filter(None, ('Bearer realm="lasthop"', unknown.told)))
            await _refuse(send, 401, f"{asked}: {unknown.problem}", unknown.remedy, challenge)
            return
        if caller.role is None or caller.role < needed:
            may = "may not use the API" if caller.role is None else f"is a {caller.role.word}, and it takes a writer"
            await _read_all(receive)
            await _refuse(send, 403, f"{asked}: {caller.name} {may}", caller.remedy)
            return
        if method not in _SAFE and needed is Role.WRITER:
            _log.info("%s %s by %s", method, path, caller.name)
        with on_behalf_of(caller.name):
            await self._inner(scope, receive, send)


async def _read_all(receive: Receive) -> None:
    """Who is still sending when the connection is closed may never see the answer."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass


async def _refuse(send: Send, status: int, problem: str, remedy: str, challenge: str = "") -> None:
    """Answer with a Problem, and close."""
    body = to_json({"problem": problem, "remedy": remedy})
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if challenge:
        headers.append((b"www-authenticate", challenge.encode()))
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
