"""Who is at the other end of the unix socket, what groups may do there, and that they may connect at all.

Owns the kernel's word on a peer (unix(7)) and the socket's access control list. No names of users are looked up: a
director must not wait for a directory service to answer.
"""

from __future__ import annotations

import grp
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lasthop.errors import DirectorError
from lasthop.model.access import DEFAULT_READERS, Role

if TYPE_CHECKING:
    from pathlib import Path

    from lasthop.model.access import Access

_UCRED = struct.Struct("iII")
#: asm-generic/socket.h; not in Python's socket. Since Linux 4.13.
SO_PEERGROUPS = 59
#: The most that socket.getsockopt takes: 256 groups.
_GROUPS_BYTES = 1024

#: linux/posix_acl_xattr.h: version, then tag, permissions and id of each entry, in this order of tags.
_ACL = "system.posix_acl_access"
_ACL_VERSION = 2
_ACL_ENTRY = struct.Struct("<HHI")
_OWNER, _OWNING_GROUP, _GROUP, _MASK, _OTHERS = 0x01, 0x04, 0x08, 0x10, 0x20
_NOBODY = 0xFFFFFFFF
#: Connecting takes the right to write, as unix(7) says.
_CONNECT = 6


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was then."""

    pid: int
    uid: int
    groups: frozenset[int]

    def __str__(self) -> str:
        return f"uid {self.uid} (pid {self.pid})"


def peer_of(connection: socket.socket) -> Peer:
    """The peer of a unix socket."""
    pid, uid, gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        packed = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:  # more than fit: its own group counts
        packed = b""
    return Peer(pid, uid, frozenset({gid, *(gid for (gid,) in struct.iter_unpack("I", packed))}))


@dataclass(frozen=True, slots=True)
class Groups:
    """Group ids whose users may read, and write; root and the director's own user always may."""

    readers: int | None = None
    writers: int | None = None

    def role(self, peer: Peer) -> Role | None:
        """What `peer` may do; None: nothing."""
        if peer.uid in {0, os.geteuid()} or self.writers in peer.groups:
            return Role.WRITER
        return Role.READER if self.readers in peer.groups else None


def groups_of(access: Access) -> Groups:
    """The groups that the configuration names. Raises DirectorError where there is none of that name."""
    readers = _gid(access.readers, "readers") if access.readers else _gid_if_any(DEFAULT_READERS)
    return Groups(readers, _gid(access.writers, "writers") if access.writers else None)


def _gid(name: str, key: str) -> int:
    found = _gid_if_any(name)
    if found is None:
        raise DirectorError(
            f"can't let group '{name}' use the API ([api] {key}): there is no such group",
            f"make it: groupadd --system {name}, then lasthop apply the file again",
        )
    return found


def _gid_if_any(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def let_in(path: Path, groups: Groups) -> None:
    """Let the groups connect to the socket at `path`, besides its owner and its owner's group.

    By an access control list: unlike changing the file's group it takes no capability. Raises DirectorError.
    """
    gids = sorted({gid for gid in (groups.readers, groups.writers) if gid is not None})
    entries = [
        (_OWNER, _CONNECT, _NOBODY),
        (_OWNING_GROUP, _CONNECT, _NOBODY),
        *((_GROUP, _CONNECT, gid) for gid in gids),
        (_MASK, _CONNECT, _NOBODY),
        (_OTHERS, 0, _NOBODY),
    ]
    packed = struct.pack("<I", _ACL_VERSION) + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)
    try:
        if gids:
            os.setxattr(path, _ACL, packed)
        elif _ACL in os.listxattr(path):
            os.removexattr(path, _ACL)
    except OSError as problem:
        raise DirectorError(
            f"can't let groups connect to {path}: {problem.strerror or problem}",
            f"mount {path.parent} with a file system that has access control lists, such as tmpfs",
        ) from problem
