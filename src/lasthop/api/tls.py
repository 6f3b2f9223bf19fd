"""TLS of the API's listener: certificate and key, tried before they are used.

Owns the context, and what can be said against a certificate.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lasthop.api.secret_file import read_public, read_secret
from lasthop.errors import DirectorError

if TYPE_CHECKING:
    from lasthop.model.access import Access

#: OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (x509_vfy.h).
NOT_YET_VALID, EXPIRED = 9, 10
_WHY = {NOT_YET_VALID: "is not valid yet", EXPIRED: "has expired"}
_RENEW = "renew it, then: systemctl reload lasthop@NAME, or lasthop apply FILE"
#: A handshake has three flights.
_FLIGHTS = 6


@dataclass(frozen=True, slots=True)
class Identity:
    """What a listener shows its callers, and what it wants of theirs."""

    context: ssl.SSLContext = field(repr=False)
    valid_until: float | None
    """Seconds since 1970; None where it is not valid now."""
    problem: str
    """What callers will say against the certificate; empty: nothing."""


def contents(access: Access) -> tuple[bytes, ...]:
    """What is in the files of `access`, tokens last.

    Raises DirectorError where one cannot be read, or others can read a secret.
    """
    return (
        read_public("the certificate", access.certificate) if access.certificate else b"",
        read_secret("the key", access.key) if access.key else b"",
        read_public("the CA of callers", access.client_ca) if access.client_ca else b"",
        read_secret("the tokens", access.tokens),
    )


def identity_of(access: Access) -> Identity:
    """Load certificate, key and CA. Raises DirectorError where they cannot be used."""
    context = _context(access)
    problem, until = _judged(access)
    if access.client_ca:
        try:
            context.load_verify_locations(cafile=access.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise DirectorError(
                f"can't use the CA of callers {access.client_ca}: it holds no certificate in PEM ({_reason(error)})",
                "put the CA's certificate there, or leave out [api] client_ca",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return Identity(context, until, problem)


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(access.certificate, access.key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise DirectorError(
            f"can't use the certificate {access.certificate} with the key {access.key}: {_reason(error)}",
            "both in PEM, the key without a password and belonging to the first certificate of its file",
        ) from error
    return context


def _judged(access: Access) -> tuple[str, float | None]:
    """What a caller who knows the certificate says against it, and until when it is valid: a handshake in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cafile=access.certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server)
    server = _context(access).wrap_bio(to_server, to_client, server_side=True)
    try:
        for each in (caller, server) * _FLIGHTS:
            _step(each)
        told = caller.getpeercert() or {}
        until = ssl.cert_time_to_seconds(str(told["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return (
            f"the API's certificate {access.certificate} {_WHY.get(error.verify_code, 'is not valid')}; {_RENEW}",
            None,
        )
    except (ssl.SSLError, KeyError, ValueError):
        return "", None  # Nothing is known against it.
    return "", float(until)


def _step(end: ssl.SSLObject) -> None:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if "PEM lib" in str(error):
            return "one of them is not PEM, or the key has a password"
        return (error.reason or str(error)).replace("_", " ").lower()
    return os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
