"""What bpf/abi.h says, as Python sees it: dtypes, enums and limits of the shipped object.

Owns the path of the object and the conversion of addresses and MACs to and from kernel layout.
"""

from __future__ import annotations

import functools
from importlib import resources
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

from lasthop.dataplane.btf import Btf
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from lasthop.model.real_server import Address
    from lasthop.model.rule import Network

_V4_MAPPED = bytes(10) + b"\xff\xff"
#: Of ::ffff:0:0/96, which IPv4 addresses are in.
V4_MAPPED_BITS = 96
_BITS = 128


def object_path() -> Path:
    """Path of the built BPF object. Raises DataPlaneError if the package was installed without it."""
    path = Path(str(resources.files("lasthop.dataplane").joinpath("objects/lasthop.bpf.o")))
    if not path.exists():
        raise DataPlaneError(f"the BPF object {path} is missing", "reinstall lasthop, or run `make` in a checkout")
    return path


@functools.cache
def types() -> Btf:
    """The types of the shipped object."""
    return Btf(object_path())


@functools.cache
def enum(name: str) -> dict[str, int]:
    """``enum name`` of bpf/abi.h."""
    return types().enum(name)


def limit(name: str) -> int:
    """A value of ``enum limits``."""
    return enum("limits")[name]


def pack_address(address: Address) -> bytes:
    """Sixteen bytes in network order; IPv4 as ::ffff:a.b.c.d."""
    return address.packed if address.version == 6 else _V4_MAPPED + address.packed  # noqa: PLR2004 -- IP version


def unpack_address(packed: bytes) -> Address:
    """The reverse of `pack_address`."""
    return IPv4Address(packed[12:]) if packed.startswith(_V4_MAPPED) else IPv6Address(packed)


def prefix_length(network: Network) -> int:
    """Leading bits of a prefix, as of 128; an IPv4 prefix is one of ::ffff:0:0/96."""
    return network.prefixlen + (V4_MAPPED_BITS if network.version == 4 else 0)  # noqa: PLR2004 -- IP version


def mask(network: Network) -> bytes:
    """The mask of a prefix in sixteen bytes."""
    return ((1 << _BITS) - (1 << _BITS - prefix_length(network))).to_bytes(_BITS // 8, "big")


def pack_mac(mac: str) -> bytes:
    """Six bytes of ``aa:bb:cc:dd:ee:ff``."""
    return bytes.fromhex(mac.replace(":", ""))


def unpack_mac(packed: bytes) -> str:
    """``aa:bb:cc:dd:ee:ff`` of six bytes."""
    return packed.hex(":")


def target_word(leg_id: int, mac: str) -> int:
    """A hop's target word: see ``struct hop`` in bpf/abi.h."""
    return int.from_bytes(pack_mac(mac) + (leg_id + 1).to_bytes(2, "little"), "little")


def split_target(target: int) -> tuple[int, str]:
    """(leg id, MAC) of a target word."""
    packed = int(target).to_bytes(8, "little")
    return int.from_bytes(packed[6:], "little") - 1, unpack_mac(packed[:6])
