"""Single values of ``[api]``: where to listen, paths, groups.

Owns what a value of each kind may be, as `lasthop.config.values` does for the rest.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

from lasthop.config.values import MAX_PORT, text, wrong
from lasthop.model.access import Endpoint

_ENDPOINT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", re.ASCII)
_SHAPE = 'write an address of this machine and a port: "192.0.2.10:8443" or "[2001:db8::10]:8443"'


def endpoint(value: object) -> Endpoint:
    """Return an address and a port."""
    found = _ENDPOINT.fullmatch(text(value))
    try:
        address = ip_address((found["v6"] or found["v4"]) if found else "")
    except ValueError:
        raise wrong("is no address with a port", _SHAPE) from None
    if found is None or (address.version == 4) != (found["v4"] is not None):  # noqa: PLR2004 - IPv4
        raise wrong("is no address with a port", _SHAPE)
    if address.is_multicast:
        raise wrong("is a multicast address", _SHAPE)
    port = int(found["port"])
    if not 1 <= port <= MAX_PORT:
        raise wrong("has no port from 1 to 65535", _SHAPE)
    return Endpoint(address, port)


def absolute_path(value: object) -> str:
    """Return the path of a file."""
    given = text(value)
    if not given.startswith("/") or "\0" in given:
        raise wrong("is no absolute path", 'write the whole path: "/etc/lasthop/tokens"')
    return given


def group(value: object) -> str:
    """Return a group's name."""
    given = text(value)
    if not _GROUP.fullmatch(given):
        raise wrong("is no group's name", "use a name that 'getent group' shows")
    return given
