"""What the drivers of interfaces say about them: their name, receive offloads, and what XDP they have.

Owns the ethtool ioctl and the generic netlink family ``netdev``. What follows from the answers is
decided in `lasthop.policy`.
Sources: include/uapi/linux/ethtool.h, Documentation/netlink/specs/netdev.yaml.
"""

from __future__ import annotations

import ctypes
import fcntl
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import TYPE_CHECKING

from pyroute2.netlink import NLM_F_DUMP, NLM_F_REQUEST, genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

if TYPE_CHECKING:
    import socket

_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 0x03
_ETHTOOL_GFLAGS = 0x25
_ETHTOOL_GGRO = 0x2B
_ETHTOOL_GCHANNELS = 0x3C
_FLAG_RXVLAN = 1 << 8
_FLAG_LRO = 1 << 15
_DRVINFO_SIZE = 196
_DRVINFO_DRIVER = slice(4, 36)
_VALUE_SIZE = 8
#: struct ethtool_channels: the most of rx, tx, other, combined, then as many as are in use.
_CHANNELS = struct.Struct("9I")
#: struct ifreq: the name, then a union of 24 bytes whose first member here is a pointer.
_IFREQ = struct.Struct("16sP16x")

_NETDEV_CMD_DEV_GET = 1
_NETDEV_VERSION = 1


class XdpFeatures(IntFlag):
    """``enum netdev_xdp_act``: what an interface's driver can do with native XDP."""

    BASIC = 1
    """Runs programs that pass, drop, abort and send back."""
    REDIRECT = 2
    NDO_XMIT = 4
    """Transmits frames that were redirected to it."""
    XSK_ZEROCOPY = 8
    HW_OFFLOAD = 16
    RX_SG = 32
    NDO_XMIT_SG = 64


@dataclass(frozen=True, slots=True)
class ReceiveOffloads:
    """Offloads that change frames before the data plane sees them."""

    lro: bool
    """Merges TCP segments in a way that cannot be undone when they are forwarded."""
    rxvlan: bool
    """Takes the VLAN tag out of the frame, where XDP does not see it."""


def _ethtool(control: socket.socket, interface: str, command: int, size: int) -> bytes | None:
    """Ask the driver of `interface`; None where it does not know `command` or the interface is gone."""
    answer = ctypes.create_string_buffer(struct.pack("I", command), size)
    try:
        fcntl.ioctl(control.fileno(), _SIOCETHTOOL, _IFREQ.pack(interface.encode(), ctypes.addressof(answer)))
    except OSError:
        return None
    return answer.raw


def driver_name(control: socket.socket, interface: str) -> str:
    """Name of the driver as ``ethtool -i`` shows it, empty where there is none.

    `control` is any datagram socket of the network namespace that holds `interface`.
    """
    answer = _ethtool(control, interface, _ETHTOOL_GDRVINFO, _DRVINFO_SIZE)
    return "" if answer is None else answer[_DRVINFO_DRIVER].split(b"\0", 1)[0].decode(errors="replace")


def receive_offloads(control: socket.socket, interface: str) -> ReceiveOffloads | None:
    """Which receive offloads are on; None where the driver does not say."""
    answer = _ethtool(control, interface, _ETHTOOL_GFLAGS, _VALUE_SIZE)
    if answer is None:
        return None
    flags = struct.unpack_from("I", answer, 4)[0]
    return ReceiveOffloads(lro=bool(flags & _FLAG_LRO), rxvlan=bool(flags & _FLAG_RXVLAN))


def merges_segments(control: socket.socket, interface: str) -> bool | None:
    """Whether generic receive offload is on; None where nobody says."""
    answer = _ethtool(control, interface, _ETHTOOL_GGRO, _VALUE_SIZE)
    return None if answer is None else bool(struct.unpack_from("I", answer, 4)[0])


def receive_channels(control: socket.socket, interface: str) -> tuple[int, int] | None:
    """Receive queues in use, and the most there could be; None where the driver does not say."""
    answer = _ethtool(control, interface, _ETHTOOL_GCHANNELS, _CHANNELS.size)
    if answer is None:
        return None
    _, most_rx, _, _, most_combined, rx, _, _, combined = _CHANNELS.unpack(answer)
    return rx + combined, max(most_combined, most_rx)


class _DeviceMessage(genlmsg):  # type: ignore[misc] # pyroute2 ships no types
    nla_map = (
        ("NETDEV_A_DEV_UNSPEC", "none"),
        ("NETDEV_A_DEV_IFINDEX", "uint32"),
        ("NETDEV_A_DEV_PAD", "none"),
        ("NETDEV_A_DEV_XDP_FEATURES", "uint64"),
    )


def xdp_features() -> dict[int, XdpFeatures] | None:
    """Native XDP of every interface of the current network namespace, by ifindex; None before Linux 6.3."""
    channel = GenericNetlinkSocket()
    try:
        channel.bind("netdev", _DeviceMessage)
        request = _DeviceMessage()
        request["cmd"] = _NETDEV_CMD_DEV_GET
        request["version"] = _NETDEV_VERSION
        answers = list(channel.nlm_request(request, msg_type=channel.prid, msg_flags=NLM_F_REQUEST | NLM_F_DUMP))
    except (NetlinkError, OSError):
        return None
    finally:
        channel.close()
    return {
        message.get_attr("NETDEV_A_DEV_IFINDEX"): XdpFeatures(message.get_attr("NETDEV_A_DEV_XDP_FEATURES") or 0)
        for message in answers
    }
