"""Loading the BPF object: programs anew, maps from their pins where they exist.

Owns the object's life: open, size, adopt pinned maps, load, pin what is new. A director that
starts after another one finds all state here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from lasthop.dataplane import abi
from lasthop.dataplane.btf import variables
from lasthop.dataplane.libbpf import Map, check, failure, ffi, library
from lasthop.dataplane.table_size import (
    WAYS,
    buckets_for,
    noted_or_computed,
    templates_for,
    unassured_quotas,
)
from lasthop.errors import DataPlaneError, ForeignPinsError, VerifierError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from lasthop.dataplane.pins import Pins

#: Programs that need the kernel's tracing support; without them XDP does not transmit.
_OPTIONAL = frozenset({"lh_xmit", "lh_xdp_err"})
#: What not every director needs, and takes the kernel as long to verify as all others together.
_LATE = frozenset({"lh_xdp"})
_LOG_SIZE = 1 << 20
#: The maps of each of the two connection tables.
MAIN_TABLE, NEXT_TABLE = ("tags", "entries"), ("next_tags", "next_entries")


class Role(IntEnum):
    """What the programs of an object do with the two tables (enum table_role in bpf/abi.h)."""

    ALONE = 0
    MAIN = 1
    NEXT = 2


@dataclass(slots=True)
class Loaded:
    """Programs and maps by name, each with a file descriptor that is open until `close`."""

    maps: dict[str, Map] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)
    adopted: bool = False
    """True if the maps were there before."""
    settings: dict[str, int] = field(default_factory=dict)
    """What the programs' ``const volatile`` variables were set to."""

    def program(self, name: str) -> int:
        """A program, which is loaded now if that was left for later. Raises DataPlaneError if the kernel refuses it."""
        if name not in self.programs:
            self.programs[name] = load_program(self, name, {})
        return self.programs[name]

    def replace(self, later: Loaded, tables: Iterable[str]) -> None:
        """Take over the programs of `later`, and those of its maps that are named; all others of it are closed."""
        for fd in self.programs.values():
            os.close(fd)
        self.programs.clear()
        self.programs.update(later.programs)
        self.settings = later.settings
        for name in tables:
            os.close(self.maps[name].fd)
            self.maps[name] = later.maps.pop(name)
        for table in later.maps.values():
            os.close(table.fd)

    def close(self) -> None:
        """Close all descriptors; what is pinned stays."""
        for fd in (*self.programs.values(), *(table.fd for table in self.maps.values())):
            os.close(fd)
        self.programs.clear()
        self.maps.clear()


@dataclass(frozen=True, slots=True)
class _Request:
    pins: Pins | None
    path: Path
    connections: int
    role: Role
    next_connections: int
    late: bool


def load(
    pins: Pins | None,
    connections: int,
    path: Path | None = None,
    *,
    role: Role = Role.ALONE,
    next_connections: int = 0,
    late: bool = False,
) -> Loaded:
    """Load the object; a table that is made anew is for `connections`, the next one for `next_connections`.

    `late`: lh_xdp is left to be loaded when it is asked for. Without `pins` nothing is pinned and nothing adopted
    (packet tests, benchmarks). The next table is pinned unless the programs are ALONE with theirs. Raises
    ForeignPinsError for maps of another layout, VerifierError if the kernel refuses a program.
    """
    request = _Request(pins, path or abi.object_path(), connections, role, next_connections, late)
    try:
        return _load_once(request, optional=True, log=False)
    except VerifierError:
        pass
    try:
        return _load_once(request, optional=False, log=False)
    except VerifierError:
        return _load_once(request, optional=False, log=True)


def _load_once(request: _Request, *, optional: bool, log: bool) -> Loaded:
    lib = library()
    handle = lib.bpf_object__open_file(os.fsencode(request.path), ffi.NULL)
    if handle == ffi.NULL:
        raise DataPlaneError(f"can't open the BPF object {request.path}", "reinstall lasthop")
    try:
        # Taken down now: libbpf calls a map that takes a pinned one as that was called when it was made.
        names = [ffi.string(lib.bpf_map__name(table)).decode() for table in _maps(handle)]
        pinned = _Pinned(request)
        try:
            adopted, settings = _prepare_maps(handle, pinned, request)
        finally:
            pinned.close()
        logs = {}
        for program in _programs(handle):
            name = ffi.string(lib.bpf_program__name(program)).decode()
            if (name in _OPTIONAL and not optional) or (name in _LATE and request.late):
                lib.bpf_program__set_autoload(program, False)
            if log:
                logs[name] = ffi.new("char[]", _LOG_SIZE)
                lib.bpf_program__set_log_buf(program, logs[name], _LOG_SIZE)
        result = lib.bpf_object__load(handle)
        if result:
            _refused(result, logs)
        loaded = _collect(handle, names, request, adopted=adopted)
        loaded.settings = settings
        return loaded
    finally:
        lib.bpf_object__close(handle)


def load_program(loaded: Loaded, name: str, changed: dict[str, int], path: Path | None = None) -> int:
    """Load one program of the object, on the maps of `loaded`, with some settings changed: its descriptor.

    Nothing is pinned. Raises DataPlaneError if the kernel refuses it.
    """
    lib = library()
    handle = lib.bpf_object__open_file(os.fsencode(path or abi.object_path()), ffi.NULL)
    if handle == ffi.NULL:
        raise DataPlaneError(f"can't open the BPF object {path or abi.object_path()}", "reinstall lasthop")
    try:
        for table in _maps(handle):
            known = loaded.maps.get(ffi.string(lib.bpf_map__name(table)).decode())
            if known is not None and not _internal(known.name):
                check(lib.bpf_map__reuse_fd(table, known.fd), f"use map {known.name}")
        _set(handle, loaded.settings | changed)
        wanted = None
        for program in _programs(handle):
            if ffi.string(lib.bpf_program__name(program)).decode() == name:
                wanted = program
            else:
                lib.bpf_program__set_autoload(program, False)
        check(lib.bpf_object__load(handle), f"load the program {name}")
        return os.dup(lib.bpf_program__fd(wanted))
    finally:
        lib.bpf_object__close(handle)


def _refused(result: int, logs: dict[str, Any]) -> None:
    text = "\n".join(
        f"{name}:\n{ffi.string(log).decode(errors='replace')}" for name, log in logs.items() if log[0] != b"\0"
    )
    if -result in (1, 12):
        check(result, "load the data plane into the kernel")
    # EACCES is also what the verifier says to a process without CAP_PERFMON.
    refusal = failure("load the data plane into the kernel", -result)
    raise VerifierError(refusal.problem, refusal.remedy, text)


class _Pinned:
    """The pinned maps that an object takes over, open while it is prepared."""

    def __init__(self, request: _Request) -> None:
        self._pins = request.pins
        self._fds: dict[str, int] = {}

    def get(self, name: str) -> int | None:
        """The descriptor of a map's pin, None if it has none."""
        if name not in self._fds:
            fd = self._pins.get(self._pins.maps / name) if self._pins and not _internal(name) else None
            if fd is None:
                return None
            self._fds[name] = fd
        return self._fds[name]

    def path(self, name: str) -> Path | str:
        """Where a map is pinned."""
        return self._pins.maps / name if self._pins else name

    def buckets(self, tags: str, entries: str) -> int | None:
        """Size of a pinned table; also of one whose maker ended between pinning the one and the other."""
        if (fd := self.get(tags)) is not None:
            return int(map_info(fd).max_entries)
        if (fd := self.get(entries)) is not None:
            return int(map_info(fd).max_entries) // WAYS
        return None

    def noted(self) -> tuple[int, ...]:
        """For how many connections the tables were made, as the pinned map `table` has it."""
        fd = self.get("table")
        if fd is None:
            return ()
        note = Map("table", fd, 4, int(map_info(fd).value_size), 1).lookup(bytes(4)) or b""
        table = abi.types().struct("table")
        if len(note) != table.itemsize:
            return ()
        read = np.frombuffer(note, table)[0]
        return int(read["connections"]), int(read["next_connections"])

    def close(self) -> None:
        """Close them; the object has its own descriptors."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def _prepare_maps(handle: Any, pinned: _Pinned, request: _Request) -> tuple[bool, dict[str, int]]:  # noqa: ANN401 -- a cffi pointer
    """Size the object's maps or take pinned ones, and set what depends on the sizes.

    Returns whether any was taken, and the settings.
    """
    lib = library()
    sizes = _sizes(pinned, request)
    adopted = False
    for table in _maps(handle):
        name = ffi.string(lib.bpf_map__name(table)).decode()
        if name in sizes:
            lib.bpf_map__set_max_entries(table, sizes[name])
        fd = pinned.get(name)
        if fd is None or (request.role is Role.ALONE and name in NEXT_TABLE):
            continue
        info = map_info(fd)
        wanted = (lib.bpf_map__key_size(table), lib.bpf_map__value_size(table))
        if (info.key_size, info.value_size) != wanted:
            raise ForeignPinsError(
                f"can't take over {pinned.path(name)}: its layout is another version's",
                "stop that director and run `lasthop detach`, which ends its connections",
            )
        check(lib.bpf_map__reuse_fd(table, fd), f"take over map {name}")
        adopted = True
    inserted = "next_tags" if request.role is Role.NEXT else "tags"
    made_for = noted_or_computed(sizes[inserted], *pinned.noted(), request.next_connections, request.connections)
    total, of_service = unassured_quotas(made_for)
    settings = {
        "table_role": int(request.role),
        "buckets": sizes["tags"],
        "next_buckets": sizes["next_tags"],
        "quota_total": total,
        "quota_service": of_service,
        "promised": made_for,
    }
    _set(handle, settings)
    return adopted, settings


def _sizes(pinned: _Pinned, request: _Request) -> dict[str, int]:
    """Entries of the maps that are not the same size everywhere."""
    buckets = pinned.buckets(*MAIN_TABLE) or buckets_for(request.connections)
    following = 1
    if request.role is not Role.ALONE:
        following = pinned.buckets(*NEXT_TABLE) or buckets_for(request.next_connections)
    return {
        "tags": buckets,
        "entries": buckets * WAYS,
        "next_tags": following,
        "next_entries": following * WAYS,
        "templates": templates_for(request.connections),
    }


def _set(handle: Any, settings: dict[str, int]) -> None:  # noqa: ANN401 -- a cffi pointer
    """Set the object's ``const volatile`` variables; one that it does not have is passed over."""
    lib = library()
    places = variables(lib.bpf_object__btf(handle), ".rodata")
    for table in _maps(handle):
        if not ffi.string(lib.bpf_map__name(table)).endswith(b".rodata"):
            continue
        memory = ffi.cast("char *", lib.bpf_map__initial_value(table, ffi.new("size_t *")))
        for name in settings.keys() & places.keys():
            offset, size = places[name]
            ffi.memmove(memory + offset, settings[name].to_bytes(size, "little"), size)


def _collect(handle: Any, names: Sequence[str], request: _Request, *, adopted: bool) -> Loaded:  # noqa: ANN401 -- a cffi pointer
    lib, pins = library(), request.pins
    loaded = Loaded(adopted=adopted)
    try:
        for name, table in zip(names, _maps(handle), strict=True):
            fd = os.dup(lib.bpf_map__fd(table))
            info = map_info(fd)
            loaded.maps[name] = Map(name, fd, info.key_size, info.value_size, info.max_entries)
        if "table" in loaded.maps and not (pins and (pins.maps / "table").exists()):
            _begin(loaded.maps["table"], request.connections)
        for name, table in loaded.maps.items():
            idle = request.role is Role.ALONE and name in NEXT_TABLE
            if pins and not _internal(name) and not idle and not (pins.maps / name).exists():
                pins.put(table.fd, pins.maps / name)
        for program in _programs(handle):
            fd = lib.bpf_program__fd(program)
            if fd >= 0:
                loaded.programs[ffi.string(lib.bpf_program__name(program)).decode()] = os.dup(fd)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _begin(table: Map, connections: int) -> None:
    """Draw the secret of a connection table, which stays as long as the table and whatever it is resized to."""
    note = np.zeros(1, abi.types().struct("table"))
    note["secret"] = np.frombuffer(os.urandom(16), "u8")
    note["connections"] = connections
    table.update(bytes(4), note.tobytes())


def map_info(fd: int) -> Any:  # noqa: ANN401 -- a cffi struct
    """struct bpf_map_info of a map's descriptor."""
    info, size = ffi.new("struct bpf_map_info *"), ffi.new("unsigned int *", ffi.sizeof("struct bpf_map_info"))
    check(library().bpf_obj_get_info_by_fd(fd, info, size), "read a map's description")
    return info


def _internal(name: str) -> bool:
    """Maps that belong to a program, not to the director, never pinned: libbpf's for .rodata and .bss, and scratch."""
    return "." in name or name == "scratch"


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
