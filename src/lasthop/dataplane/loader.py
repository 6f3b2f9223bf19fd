"""Loading the BPF object: programs anew, maps from their pins where they exist.

Owns the object's life: open, size, adopt pinned maps, load, pin what is new. A director that
starts after another one finds all state here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lasthop.dataplane import abi
from lasthop.dataplane.libbpf import Map, check, failure, ffi, library
from lasthop.errors import DataPlaneError, ForeignPinsError, VerifierError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lasthop.dataplane.pins import Pins

#: Programs that need the kernel's tracing support; without them XDP does not transmit.
_OPTIONAL = frozenset({"lh_xmit", "lh_xdp_err"})
_LOG_SIZE = 1 << 20


@dataclass(slots=True)
class Loaded:
    """A loaded object: file descriptors by name, open until `close`."""

    maps: dict[str, Map] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    adopted: bool = False
    """True if the maps were there before."""
    handle: Any = None

    def close(self) -> None:
        """Close the object's descriptors; what is pinned stays."""
        if self.handle is not None:
            library().bpf_object__close(self.handle)
            self.handle = None


def load(pins: Pins | None, connections: int, path: Path | None = None) -> Loaded:
    """Load the object, with `connections` entries in a table that is made anew.

    Without `pins` nothing is pinned and nothing adopted (packet tests, benchmarks). Raises
    ForeignPinsError for maps of another layout, VerifierError if the kernel refuses a program.
    """
    path = path or abi.object_path()
    optional = True
    try:
        return _load_once(pins, connections, path, optional=True, log=False)
    except VerifierError:
        optional = False
    try:
        return _load_once(pins, connections, path, optional=optional, log=False)
    except VerifierError:
        return _load_once(pins, connections, path, optional=optional, log=True)


def _load_once(pins: Pins | None, connections: int, path: Path, *, optional: bool, log: bool) -> Loaded:
    lib = library()
    handle = lib.bpf_object__open_file(os.fsencode(path), ffi.NULL)
    if handle == ffi.NULL:
        raise DataPlaneError(f"can't open the BPF object {path}", "reinstall lasthop")
    loaded = Loaded(handle=handle)
    try:
        _prepare_maps(loaded, pins, connections)
        logs = {}
        for program in _programs(handle):
            name = ffi.string(lib.bpf_program__name(program)).decode()
            if name in _OPTIONAL and not optional:
                lib.bpf_program__set_autoload(program, False)
            if log:
                logs[name] = ffi.new("char[]", _LOG_SIZE)
                lib.bpf_program__set_log_buf(program, logs[name], _LOG_SIZE)
        result = lib.bpf_object__load(handle)
        if result:
            _refused(result, logs)
        _collect(loaded, pins)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _refused(result: int, logs: dict[str, Any]) -> None:
    text = "\n".join(
        f"{name}:\n{ffi.string(log).decode(errors='replace')}" for name, log in logs.items() if log[0] != b"\0"
    )
    if -result in (1, 12):
        check(result, "load the data plane into the kernel")
    # EACCES is also what the verifier says to a process without CAP_PERFMON.
    refusal = failure("load the data plane into the kernel", -result)
    raise VerifierError(refusal.problem, refusal.remedy, text)


def _prepare_maps(loaded: Loaded, pins: Pins | None, connections: int) -> None:
    lib = library()
    for handle in _maps(loaded.handle):
        name = ffi.string(lib.bpf_map__name(handle)).decode()
        if name in ("connections", "templates"):
            lib.bpf_map__set_max_entries(handle, connections)
        fd = pins.get(pins.maps / name) if pins and not _internal(name) else None
        if fd is None:
            continue
        info = map_info(fd)
        wanted = (lib.bpf_map__key_size(handle), lib.bpf_map__value_size(handle))
        if (info.key_size, info.value_size) != wanted:
            os.close(fd)
            raise ForeignPinsError(
                f"can't take over {pins.maps / name if pins else name}: its layout is another version's",
                "stop that director and run `lasthop detach`, which ends its connections",
            )
        check(lib.bpf_map__reuse_fd(handle, fd), f"take over map {name}")
        os.close(fd)
        loaded.adopted = True


def _collect(loaded: Loaded, pins: Pins | None) -> None:
    lib = library()
    for handle in _maps(loaded.handle):
        name = ffi.string(lib.bpf_map__name(handle)).decode()
        fd = lib.bpf_map__fd(handle)
        info = map_info(fd)
        loaded.maps[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
        if pins and not _internal(name) and not (pins.maps / name).exists():
            pins.put(fd, pins.maps / name)
    for handle in _programs(loaded.handle):
        fd = lib.bpf_program__fd(handle)
        if fd >= 0:
            loaded.programs[ffi.string(lib.bpf_program__name(handle)).decode()] = fd


def map_info(fd: int) -> Any:  # noqa: ANN401 -- a cffi struct
    """struct bpf_map_info of a map's descriptor."""
    info, size = ffi.new("struct bpf_map_info *"), ffi.new("unsigned int *", ffi.sizeof("struct bpf_map_info"))
    check(library().bpf_obj_get_info_by_fd(fd, info, size), "read a map's description")
    return info


def _internal(name: str) -> bool:
    """libbpf's own maps for .rodata and .bss: made with the program, never pinned."""
    return "." in name


def _maps(handle: Any) -> Iterator[Any]:  # noqa: ANN401 -- cffi pointers
    current = library().bpf_object__next_map(handle, ffi.NULL)
    while current != ffi.NULL:
        yield current
        current = library().bpf_object__next_map(handle, current)


def _programs(handle: Any) -> Iterator[Any]:  # noqa: ANN401 -- cffi pointers
    current = library().bpf_object__next_program(handle, ffi.NULL)
    while current != ffi.NULL:
        yield current
        current = library().bpf_object__next_program(handle, current)
