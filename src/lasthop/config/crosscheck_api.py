"""Keys of ``[api]`` that must fit each other: a listener needs tokens, and TLS beyond this machine."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from lasthop.config.document import Finding, Table, text, texts
from lasthop.model.access import DEFAULT_READERS

if TYPE_CHECKING:
    from collections.abc import Iterator

_TLS = 'add certificate = "/etc/lasthop/api.crt" and key = "/etc/lasthop/api.key"'


def api_findings(document: Table) -> Iterator[Finding]:
    """Yield what contradicts itself in ``[api]``."""
    api = document.get("api")
    if isinstance(api, dict):
        yield from _listening(api)
        yield from _tls(api)
        writers, readers = text(api, "writers"), api.get("readers", DEFAULT_READERS)
        if writers is not None and writers == readers:
            yield Finding(
                ("api", "writers"), "is the group of the readers too", "name another group, or leave one of both out"
            )


def _listening(api: Table) -> Iterator[Finding]:
    listened = list(texts(("api",), api, "listen"))
    if listened and "tokens" not in api:
        yield Finding(
            ("api", "listen"),
            "is open to nobody without tokens",
            'add tokens = "/etc/lasthop/tokens", with a line that `lasthop token NAME` prints',
        )
    seen: set[str] = set()
    for place, written in listened:
        if written in seen:
            yield Finding(place, "is listed already", "leave it out")
        seen.add(written)
        if "certificate" not in api and not _is_loopback(written):
            yield Finding(place, "is no loopback address, and there is no TLS without a certificate", _TLS)


def _is_loopback(written: str) -> bool:
    """Also where it is no address at all: the schema says so."""
    try:
        return ip_address(written.rpartition(":")[0].strip("[]")).is_loopback
    except ValueError:
        return True


def _tls(api: Table) -> Iterator[Finding]:
    for one, other in (("certificate", "key"), ("key", "certificate"), ("client_ca", "certificate")):
        if one in api and other not in api:
            yield Finding(("api", one), f"is of no use without {other}", f'add {other} = "/etc/lasthop/api.pem"')
