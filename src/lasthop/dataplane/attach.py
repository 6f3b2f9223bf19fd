"""Attaching programs to interfaces: tcx or clsact for tc, native XDP, and the transmit probe.

Owns links and filters of one director. An interface is attached once, whatever legs share it; pins bear its number, for
its name may hold a dot, which bpffs refuses, and may change. Which interface wants what is decided by the caller.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import check, code_of, failure, ffi, library, test_run
from lasthop.dataplane.loader import map_info
from lasthop.dataplane.pins import link_info
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lasthop.dataplane.loader import Loaded
    from lasthop.dataplane.pins import Pins

# enum bpf_attach_type, include/uapi/linux/bpf.h
_BPF_TRACE_RAW_TP, _BPF_XDP, _BPF_TCX_INGRESS = 23, 37, 46
_BEFORE = 1 << 3
# include/uapi/linux/if_link.h
_XDP_NATIVE = 1 << 2
_TC_INGRESS, _TC_REPLACE = 1, 1
#: Our clsact filter, told apart from others by its handle.
_FILTER_HANDLE, _FILTER_PRIORITY = 0x1A57, 1
_LIVE_FRAMES = 1 << 1
_PROBE_FRAMES = 4
#: An address bridges never forward (IEEE 802.1Q table 8-1), an ethertype for experiments (IEEE 802).
_PROBE_DESTINATION, _PROBE_ETHERTYPE = bytes.fromhex("0180c2000000"), bytes.fromhex("88b5")
_MAX_PROGRAMS = 64


@contextmanager
def alone() -> Iterator[None]:
    """Hold off every other director that is about to attach in this network namespace.

    The kernel lets go of the lock however the process ends.
    """
    with Path("/proc/thread-self/ns/net").open("rb") as here:
        fcntl.flock(here, fcntl.LOCK_EX)
        yield


class Attacher:
    """Puts one director's programs on interfaces of this network namespace."""

    def __init__(self, pins: Pins, loaded: Loaded) -> None:
        self._pins = pins
        self._loaded = loaded
        self._watching: bool | None = None

    def refuse_foreign(self, leg: str, interface: str, ifindex: int) -> None:
        """Raise DataPlaneError if another director's programs are on the interface."""
        others = self._pins.programs_of_others()
        own = {int(info.prog_id) for _, info in self._pins.link_infos(self._pins.links)}
        for program_id in {*_tcx_programs(ifindex), *_filter_programs(ifindex), *_xdp_programs(ifindex)} - own:
            name, map_ids = _describe(program_id)
            if program_id in others or (name.startswith("lh_") and not self._own_map_ids() & map_ids):
                raise DataPlaneError(
                    f"can't attach to leg {leg!r} ({interface}): another director is attached to it",
                    "stop it and run `lasthop --director NAME detach`, or leave it the interface",
                )

    def attach_tc(self, leg: str, interface: str, ifindex: int) -> None:
        """tc ingress: a pinned tcx link, or from before 6.6 a clsact filter. Replaces our own in place.

        `leg` is one of the interface's, for errors.
        """
        program = self._loaded.programs["lh_tc"]
        pin = self._pins.links / f"tcx-{ifindex}"
        if self._renew(pin, ifindex, program):
            return
        try:
            self._create(pin, program, ifindex, _BPF_TCX_INGRESS, 0, f"attach tc to leg {leg!r} ({interface})")
        except DataPlaneError as error:
            if code_of(error) not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
            attach_filter(program, ifindex, f"attach a tc filter to leg {leg!r} ({interface})")

    def attach_xdp(self, leg: str, interface: str, ifindex: int) -> None:
        """Native XDP in front of tc. Raises DataPlaneError naming leg and remedy if the driver cannot."""
        program = self._loaded.program("lh_xdp")
        pin = self._pins.links / f"xdp-{ifindex}"
        if self._renew(pin, ifindex, program):
            return
        where = f"leg {leg!r} ({interface})"
        try:
            self._create(pin, program, ifindex, _BPF_XDP, _XDP_NATIVE, f"attach XDP to {where}")
        except DataPlaneError as error:
            cause, remedy = _xdp_refusal(error, interface)
            raise DataPlaneError(f"can't attach to {where}: {cause}", remedy) from error

    def swap(self, interfaces: Collection[int]) -> None:
        """Put the programs that are loaded now in place of those on some interfaces, each at once.

        What is not attached stays so.
        """
        pins = [
            (self._pins.links / f"{kind}-{ifindex}", ifindex, self._loaded.program(name))
            for ifindex in interfaces
            for kind, name in (("tcx", "lh_tc"), ("xdp", "lh_xdp"))
            if (self._pins.links / f"{kind}-{ifindex}").exists()
        ]
        for pin, ifindex, program in pins:
            self._renew(pin, ifindex, program)
        for ifindex in interfaces:
            if uses_map(ifindex, self._live_map_id()):
                attach_filter(self._loaded.programs["lh_tc"], ifindex, f"swap the tc filter of interface {ifindex}")

    def detach(self, ifindex: int) -> None:
        """Take our programs off an interface. Idempotent, also where it is gone."""
        self.detach_xdp(ifindex)
        (self._pins.links / f"tcx-{ifindex}").unlink(missing_ok=True)
        if ifindex and uses_map(ifindex, self._live_map_id()):
            detach_filter(ifindex)

    def detach_xdp(self, ifindex: int) -> None:
        """Take XDP off an interface; tc stays. Idempotent."""
        (self._pins.links / f"xdp-{ifindex}").unlink(missing_ok=True)

    def holds(self, ifindex: int) -> bool:
        """Whether our tc program is on an interface, put there by this process or by one before it."""
        return (self._pins.links / f"tcx-{ifindex}").exists() or uses_map(ifindex, self._live_map_id())

    def lacks(self, ifindex: int, *, xdp: bool) -> bool:
        """Whether a program that was put on an interface is off it; False where the interface itself is gone."""
        if not exists(ifindex):
            return False
        if xdp and not self._is_on(self._pins.links / f"xdp-{ifindex}", ifindex):
            return True
        if self._is_on(self._pins.links / f"tcx-{ifindex}", ifindex):
            return False
        # By its number: what a program uses takes CAP_SYS_ADMIN to read.
        return _filter_programs(ifindex) != [_program_id(self._loaded.programs["lh_tc"])]

    def _is_on(self, pin: Path, ifindex: int) -> bool:
        fd = self._pins.get(pin)
        if fd is None:
            return False
        try:
            return _link_ifindex(fd) == ifindex
        finally:
            os.close(fd)

    def pinned(self) -> set[int]:
        """The interfaces that links are pinned for, gone ones included."""
        numbers = (path.name.partition("-")[2] for path in self._pins.links.iterdir())
        return {int(number) for number in numbers if number.isdigit()}

    def _watch_transmits(self) -> bool:
        """Attach the tracepoint programs that tell what became of XDP frames. False: this kernel has none."""
        for name in ("lh_xmit", "lh_xdp_err"):
            program = self._loaded.programs.get(name)
            if program is None:
                return False
            pin = self._pins.links / name
            pin.unlink(missing_ok=True)
            fd = library().bpf_link_create(program, 0, _BPF_TRACE_RAW_TP, ffi.NULL)
            check(fd, f"attach {name} to its tracepoint")
            self._pins.put(fd, pin)
            os.close(fd)
        return True

    def transmits(self, ifindex: int, mac: str) -> bool:
        """Prove by test frames that XDP frames leave through the interface.

        False also where the kernel has no tracing support and so nothing can be proved.
        """
        if self._watching is None:
            self._watching = self._watch_transmits()
        if not self._watching:
            return False
        sent_before, lost_before = self._sent(ifindex)
        frame = np.zeros(1, abi.types().struct("probe_frame"))
        frame["ifindex"] = ifindex
        data = bytearray(frame.tobytes())
        data[0:14] = _PROBE_DESTINATION + abi.pack_mac(mac) + _PROBE_ETHERTYPE
        test_run(self._loaded.programs["lh_probe"], bytes(data), b"", repeat=_PROBE_FRAMES, flags=_LIVE_FRAMES)
        sent, lost = self._sent(ifindex)
        return sent - sent_before >= _PROBE_FRAMES and lost == lost_before

    def _sent(self, ifindex: int) -> tuple[int, int]:
        value = self._loaded.maps["xdp_sent"].lookup(ifindex.to_bytes(4, "little"))
        if value is None:
            return 0, 0
        totals = np.frombuffer(value, abi.types().struct("xdp_sent"))[0]
        return int(totals["sent"]), int(totals["lost"])

    def _renew(self, pin: Path, ifindex: int, program: int) -> bool:
        return swap_link(self._pins, pin, ifindex, program)

    def _create(self, pin: Path, program: int, ifindex: int, kind: int, flags: int, operation: str) -> None:
        opts = ffi.new("struct bpf_link_create_opts *")
        opts.sz, opts.flags = ffi.sizeof("struct bpf_link_create_opts"), flags
        fd = check(library().bpf_link_create(program, ifindex, kind, opts), operation)
        try:
            self._pins.put(fd, pin)
        finally:
            os.close(fd)

    def _live_map_id(self) -> int:
        return int(map_info(self._loaded.maps["live"].fd).id)

    def _own_map_ids(self) -> set[int]:
        """Of the maps by which our programs are known; one closes legs that this director closed (bpf/closed.bpf.c)."""
        ids = {self._live_map_id()}
        closed = self._pins.get(self._pins.maps / "closed")
        if closed is not None:
            ids.add(int(map_info(closed).id))
            os.close(closed)
        return ids


def link_before(program: int, ifindex: int, operation: str) -> int | None:
    """A tcx link in front of all others, which is gone with its descriptor; None on a kernel before 6.6."""
    opts = ffi.new("struct bpf_link_create_opts *")
    opts.sz, opts.flags = ffi.sizeof("struct bpf_link_create_opts"), _BEFORE
    result = library().bpf_link_create(program, ifindex, _BPF_TCX_INGRESS, opts)
    if result in (-errno.EINVAL, -errno.EOPNOTSUPP):
        return None
    return int(check(result, operation))


def swap_link(pins: Pins, pin: Path, ifindex: int, program: int) -> bool:
    """Put `program` under a pinned link that still is on the interface. False: a link must be made."""
    fd = pins.get(pin)
    if fd is None:
        return False
    try:
        if _link_ifindex(fd) != ifindex:
            pin.unlink()
            return False
        check(library().bpf_link_update(fd, program, ffi.NULL), f"swap the program under {pin}")
    finally:
        os.close(fd)
    return True


def _xdp_refusal(error: DataPlaneError, interface: str) -> tuple[str, str]:
    """Cause and remedy of an attachment the kernel refused."""
    taken = ("another XDP program is attached", f"ip link set dev {interface} xdp off")
    causes = {
        errno.EOPNOTSUPP: ("driver has no native XDP", 'set mode = "tc" on this leg'),
        errno.EBUSY: taken,
        errno.EEXIST: taken,
        errno.EINVAL: (
            "the driver refuses XDP in its present settings (MTU, LRO, channels)",
            f'ethtool -K {interface} lro off, or set mode = "tc" on this leg',
        ),
    }
    return causes.get(code_of(error), (str(error.__cause__), 'set mode = "tc" on this leg'))


def attach_filter(program: int, ifindex: int, operation: str) -> None:
    """A clsact ingress filter with our handle; replaces the one that is there."""
    hook = _hook(ifindex)
    result = library().bpf_tc_hook_create(hook)
    if result != -errno.EEXIST:
        check(result, operation)
    opts = _filter_opts()
    opts.prog_fd, opts.flags = program, _TC_REPLACE
    result = library().bpf_tc_attach(hook, opts)
    if result == -errno.EINVAL:
        remedy = "see `tc filter show dev INTERFACE ingress` for a filter of another kind at priority 1, and move it"
        raise failure(operation, errno.EINVAL, remedy)
    check(result, operation)


def detach_filter(ifindex: int) -> None:
    """Remove the filter with our handle. Idempotent."""
    result = library().bpf_tc_detach(_hook(ifindex), _filter_opts())
    if result not in (-errno.ENOENT, -errno.EINVAL):
        check(result, "remove a tc filter")


def uses_map(ifindex: int, map_id: int) -> bool:
    """Whether the filter with our handle runs a program that uses a map: ours, if the map is."""
    return any(map_id in _describe(program_id)[1] for program_id in _filter_programs(ifindex))


def programs_on(ifindex: int) -> list[str]:
    """Names of the programs on an interface in the order of tcx, clsact, XDP; those this process may not read lack."""
    ids = _tcx_programs(ifindex) + _filter_programs(ifindex) + _xdp_programs(ifindex)
    return [name for program_id in ids if (name := _describe(program_id)[0])]


def _hook(ifindex: int) -> object:
    hook = ffi.new("struct bpf_tc_hook *")
    hook.sz, hook.ifindex, hook.attach_point = ffi.sizeof("struct bpf_tc_hook"), ifindex, _TC_INGRESS
    return hook


def _filter_opts() -> Any:  # noqa: ANN401 -- a cffi struct
    opts = ffi.new("struct bpf_tc_opts *")
    opts.sz, opts.handle, opts.priority = ffi.sizeof("struct bpf_tc_opts"), _FILTER_HANDLE, _FILTER_PRIORITY
    return opts


def _filter_programs(ifindex: int) -> list[int]:
    opts = _filter_opts()
    return [opts.prog_id] if library().bpf_tc_query(_hook(ifindex), opts) == 0 else []


def _tcx_programs(ifindex: int) -> list[int]:
    ids = ffi.new("unsigned int[]", _MAX_PROGRAMS)
    opts = ffi.new("struct bpf_prog_query_opts *")
    opts.sz, opts.prog_ids, opts.prog_count = ffi.sizeof("struct bpf_prog_query_opts"), ids, _MAX_PROGRAMS
    if library().bpf_prog_query_opts(ifindex, _BPF_TCX_INGRESS, opts):
        return []
    return [ids[i] for i in range(opts.prog_count)]


def _xdp_programs(ifindex: int) -> list[int]:
    opts = ffi.new("struct bpf_xdp_query_opts *")
    opts.sz = ffi.sizeof("struct bpf_xdp_query_opts")
    if library().bpf_xdp_query(ifindex, 0, opts):
        return []
    return [i for i in {opts.prog_id, opts.drv_prog_id, opts.skb_prog_id} if i]


def _describe(program_id: int) -> tuple[str, set[int]]:
    """(name, ids of its maps) of a program; empty if it has gone meanwhile."""
    fd = library().bpf_prog_get_fd_by_id(program_id)
    if fd < 0:
        return "", set()
    try:
        map_ids = ffi.new("unsigned int[]", _MAX_PROGRAMS)
        info = _program_info(fd, map_ids)
        return ffi.string(info.name).decode(), {map_ids[i] for i in range(min(info.nr_map_ids, _MAX_PROGRAMS))}
    finally:
        os.close(fd)


def _program_info(fd: int, map_ids: Any = ffi.NULL) -> Any:  # noqa: ANN401 -- cffi's array and struct
    info = ffi.new("struct bpf_prog_info *")
    if map_ids != ffi.NULL:
        info.nr_map_ids = len(map_ids)
        info.map_ids = int(ffi.cast("uintptr_t", map_ids))
    size = ffi.new("unsigned int *", ffi.sizeof("struct bpf_prog_info"))
    check(library().bpf_obj_get_info_by_fd(fd, info, size), "read a program's description")
    return info


def _program_id(fd: int) -> int:
    return int(_program_info(fd).id)


def exists(ifindex: int) -> bool:
    """Whether this network namespace has an interface of that number."""
    try:
        socket.if_indextoname(ifindex)
    except OSError:
        return False
    return True


def _link_ifindex(fd: int) -> int:
    return int(link_info(fd).ifindex)
