"""The table's memory and its secret: kept by the kernel for as long as the data plane, and no longer."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import ffi, library
from lasthop.dataplane.loader import map_info
from lasthop.dataplane.pins import Pins
from lasthop.lab.waiting import wait_until

if TYPE_CHECKING:
    from tests.contract.dataplane_worlds import KernelWorld

pytestmark = pytest.mark.root
PATIENCE_S = 20

READER = """
import sys, mmap
from lasthop.dataplane.libbpf import library
fd = library().bpf_obj_get(sys.argv[1].encode())
memory = mmap.mmap(fd, int(sys.argv[2]), access=mmap.ACCESS_READ)
print(len(memory), flush=True)
sys.stdin.read()
"""


def secret(name: str) -> bytes:
    fd = Pins(name).get(Pins(name).maps / "table")
    assert fd is not None
    value = ffi.new("char[]", abi.types().struct("table").itemsize)
    assert library().bpf_map_lookup_elem(fd, bytes(4), value) == 0
    return bytes(ffi.buffer(value, 16))


def exists(map_id: int) -> bool:
    fd = int(ctypes.CDLL("libbpf.so.1").bpf_map_get_fd_by_id(map_id))
    if fd >= 0:
        os.close(fd)
    return fd != -errno.ENOENT


def test_secret_is_drawn_with_the_table_and_kept_as_long(kernel_world: KernelWorld) -> None:
    first = secret(kernel_world.name)
    assert any(first)
    kernel_world.reopen()
    assert secret(kernel_world.name) == first, "another director reads the table that is there"
    kernel_world.dataplane.detach()
    kernel_world.reopen()
    assert secret(kernel_world.name) != first


def test_reader_of_the_table_that_is_killed_leaves_nothing_behind(kernel_world: KernelWorld) -> None:
    pins = Pins(kernel_world.name)
    fd = pins.get(pins.maps / "entries")
    assert fd is not None
    info = map_info(fd)
    size = int(info.value_size) * int(info.max_entries)
    command = [sys.executable, "-c", READER, str(pins.maps / "entries"), str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert int(reader.stdout.readline()) == size
        reader.kill()
    os.close(fd)
    assert exists(int(info.id)), "it is the director's"
    kernel_world.dataplane.detach()
    # The director maps the table as well: it lets go with its data plane.
    del kernel_world.dataplane
    gc.collect()
    assert wait_until(lambda: not exists(int(info.id)), timeout=PATIENCE_S)
