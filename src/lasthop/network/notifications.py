"""The socket on which the kernel tells that links, addresses, local routes or neighbours changed.

Owns the subscription and its filter. What changed is not read from here: a message may be lost
(ENOBUFS), so whoever is woken reads everything anew with `KernelNetwork.observe`.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

_RTM_NEWROUTE = 24
_RTM_DELROUTE = 25
_RT_TABLE_LOCAL = 255
_AF_BRIDGE = 7
#: RTNLGRP_LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE (include/uapi/linux/rtnetlink.h).
_GROUPS = (1, 3, 5, 7, 9, 11)
_RECEIVE_SIZE = 65536

#: Classic BPF opcodes (include/uapi/linux/bpf_common.h): BPF_LD|BPF_B|BPF_ABS and so on.
_LOAD_BYTE, _LOAD_HALF, _JUMP_EQUAL, _RETURN = 0x30, 0x28, 0x15, 0x06
_SO_ATTACH_FILTER = 26
#: Offset of nlmsg_type; of the family, which is the first byte of ifinfomsg, ifaddrmsg, ndmsg and rtmsg; of rtm_table.
_TYPE, _FAMILY, _TABLE = 4, 16, 20


def _filter() -> bytes:
    """Lets through all but bridges' forwarding tables and routes outside the table ``local``.

    A router with the Internet's routes, or a busy bridge, would otherwise wake the director all the time.
    Loads are big-endian and netlink is in host order, hence htons.
    """
    program = (
        (_LOAD_BYTE, 0, 0, _FAMILY),
        (_JUMP_EQUAL, 6, 0, _AF_BRIDGE),
        (_LOAD_HALF, 0, 0, _TYPE),
        (_JUMP_EQUAL, 1, 0, socket.htons(_RTM_NEWROUTE)),
        (_JUMP_EQUAL, 0, 2, socket.htons(_RTM_DELROUTE)),
        (_LOAD_BYTE, 0, 0, _TABLE),
        (_JUMP_EQUAL, 0, 1, _RT_TABLE_LOCAL),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    )
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)


class Notifications:
    """Readable when something may have changed. Raises OSError if the kernel refuses the subscription."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        try:
            self._socket.setblocking(False)
            instructions = _filter()
            memory = ctypes.create_string_buffer(instructions, len(instructions))
            program = struct.pack("HP", len(instructions) // 8, ctypes.addressof(memory))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            self._socket.bind((0, sum(1 << (group - 1) for group in _GROUPS)))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The file descriptor to wait on."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Read away whatever has come; an overrun (ENOBUFS) is a change like any other."""
        while True:
            try:
                self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                return
            except OSError as refusal:
                if refusal.errno != errno.ENOBUFS:
                    raise

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()
