"""The way to a director on another machine: https, a token, and what can be wrong with either.

Owns what is sent over TCP and to whom. Standard library only, and ssl not before it is needed: a command must not wait.
"""

from __future__ import annotations

import http.client
import os
import stat
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lasthop.errors import DirectorError, LasthopError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

#: Seconds without a byte from the director: far more than it ever needs.
SILENCE_S = 30.0
DEFAULT_PORT = 8443
#: OpenSSL's words for why a certificate is not good (x509_vfy.h), and what to do.
_VERDICTS = {
    9: ("its certificate is not valid yet", "see that the clocks of both machines are right"),
    10: ("its certificate has expired", "renew it there, then: systemctl reload lasthop@NAME"),
    18: ("its certificate is signed by itself", "if you trust it, give it: --ca FILE"),
    19: ("its certificate is of a CA that is not trusted here", "give the CA's certificate: --ca FILE"),
    20: ("its certificate is of a CA that is not trusted here", "give the CA's certificate: --ca FILE"),
    62: ("its certificate is for another name", "call it by a name that its certificate has"),
    64: ("its certificate is not for this address", "call it by a name or an address that its certificate has"),
}
_CERTIFICATE_WANTED = "LASTHOP_CERTIFICATE=FILE LASTHOP_KEY=FILE"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows a director, and whom he believes. Paths; None: none."""

    token_file: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def of(
        cls, environment: Mapping[str, str], token_file: str | None = None, certificates: str | None = None
    ) -> Credentials:
        """Those given, else those that the environment names."""
        return cls(
            token_file or environment.get("LASTHOP_TOKEN_FILE"),
            certificates or environment.get("LASTHOP_CA"),
            environment.get("LASTHOP_CERTIFICATE"),
            environment.get("LASTHOP_KEY"),
        )


def is_far(name: str | None) -> bool:
    """Whether a director is named by where it listens, not by its name."""
    return name is not None and "://" in name


class Far:
    """The director at `url`."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        """Raises DirectorError if there can be none at `url`, or the token would be read on the way."""
        self.told = f"the director at {url}"
        self._credentials = credentials
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname or "", parts.port or DEFAULT_PORT
        except ValueError:
            parts, self._host = urlsplit(""), ""
        if parts.scheme not in {"https", "http"} or not self._host or parts.path.strip("/") or parts.query:
            raise DirectorError(
                f"can't use {url!r} as a director's address", "write it like https://lb1.example.com:8443"
            )
        if parts.username is not None:
            raise DirectorError(f"can't log in to {self._host} with a name", "give a token: --token-file FILE")
        self._encrypted = parts.scheme == "https"
        if not self._encrypted and not _is_loopback(self._host):
            raise DirectorError(f"can't send a token to {self._host} in the clear", f"use https://{parts.netloc}")

    def connection(self) -> http.client.HTTPConnection:
        """A connection, not yet opened. Raises DirectorError where the files it takes cannot be used."""
        if not self._encrypted:
            return http.client.HTTPConnection(self._host, self._port, timeout=SILENCE_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=SILENCE_S, context=self._context())

    def headers(self) -> dict[str, str]:
        """What every request takes. Raises DirectorError where the token cannot be read."""
        path = self._credentials.token_file
        return {} if path is None else {"Authorization": f"Bearer {_token(path)}"}

    def error(self, problem: Exception) -> LasthopError:
        """What `problem` means, and what to do."""
        cause, remedy = self._explained(problem)
        return DirectorError(f"can't reach {self.told}: {cause}", remedy)

    def _explained(self, problem: Exception) -> tuple[str, str]:
        if isinstance(problem, ConnectionRefusedError):
            return "nobody listens there", "see that it runs, and listens there ([api] listen)"
        if isinstance(problem, TimeoutError):
            return f"silent for {SILENCE_S:.0f} s", "see that nothing between here and there drops the packets"
        if isinstance(problem, ConnectionResetError | BrokenPipeError | http.client.HTTPException):
            return "it closed the connection", self._hint()
        if (tls := _of_tls(problem)) is not None:
            return tls if tls[0] else ("it closed the connection", self._hint())
        cause = problem.strerror if isinstance(problem, OSError) else ""
        return (cause or str(problem) or type(problem).__name__).lower(), "see that its name and address are right"

    def _hint(self) -> str:
        """What a director that closes without a word may want: asyncio sends no alert when a handshake fails."""
        if not self._encrypted:
            return "see whether it takes https"
        if self._credentials.certificate is None:
            return f"if it has [api] client_ca it wants a certificate of yours: {_CERTIFICATE_WANTED}"
        return "see that your certificate is of one of the CAs in its [api] client_ca"

    def _context(self) -> ssl.SSLContext:
        import ssl

        given = self._credentials
        try:
            context = ssl.create_default_context(cafile=given.ca)
        except (OSError, ssl.SSLError) as problem:
            raise _unusable("the CA", given.ca, problem) from problem
        if given.certificate is not None:
            try:
                context.load_cert_chain(given.certificate, given.key)
            except (OSError, ssl.SSLError) as problem:
                raise _unusable("the certificate", given.certificate, problem) from problem
        return context


def _of_tls(problem: Exception) -> tuple[str, str] | None:
    """Cause and remedy, both empty where TLS just ended; None if it is no problem of TLS."""
    import ssl

    if isinstance(problem, ssl.SSLCertVerificationError):
        told = (f"its certificate is not good ({problem.verify_message})", "give the CA's certificate: --ca FILE")
        return _VERDICTS.get(problem.verify_code, told)
    if isinstance(problem, ssl.SSLError):
        reason = (problem.reason or "").replace("_", " ").lower()
        if "wrong version number" in reason:
            return "it does not speak TLS", "use http:// on this machine, or see that the port is right"
        if "alert" in reason and ("certificate required" in reason or "handshake failure" in reason):
            return "it wants a certificate of yours", f"name it: {_CERTIFICATE_WANTED}"
        if "alert" in reason and ("unknown ca" in reason or "certificate" in reason):
            return f"it does not take your certificate ({reason})", f"name another: {_CERTIFICATE_WANTED}"
        return (
            ("", "") if isinstance(problem, ssl.SSLEOFError) else (reason or "TLS failed", "see that the port is right")
        )
    return None


def _token(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
                raise DirectorError(
                    f"can't use the token in {path}: others may read it (mode {stat.S_IMODE(mode):04o})",
                    f"take that from them: chmod o-rwx {path}",
                )
            words = file.read(4096).split()
    except OSError as problem:
        raise _unusable("the token", path, problem) from problem
    if len(words) != 1 or not words[0].isascii():
        raise DirectorError(
            f"can't use the token in {path}: it holds {len(words)} words, not one token",
            "put there what `lasthop token` printed as the token, and nothing else",
        )
    return words[0].decode()


def _unusable(what: str, path: str | None, problem: Exception) -> DirectorError:
    cause = (problem.strerror if isinstance(problem, OSError) else "") or str(problem)
    return DirectorError(f"can't use {what} in {path}: {cause.lower()}", "check its path, and that it is in PEM")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
