"""numpy dtypes and enums from the BTF of a BPF object: the C header is the one source of layout.

Owns the reading of BTF (Documentation/bpf/btf.rst); knows nothing of lasthop's structs.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lasthop.dataplane.libbpf import ffi, library
from lasthop.errors import DataPlaneError

_INT, _POINTER, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_SECTION = 15
_MAPS = ".maps"
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TAG = 8, 9, 10, 11, 18
_ALIASES = frozenset({_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TAG})
_SIGNED = 1


class Btf:
    """The types of one BPF object file. Raises DataPlaneError if it has no readable BTF."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._btf = library().btf__parse(os.fsencode(path), ffi.NULL)
        if self._btf == ffi.NULL:
            raise DataPlaneError(f"can't read the types of {path}", "reinstall lasthop, or run `make` in a checkout")
        self._ids: dict[tuple[int, str], int] = {}
        self._structs: dict[str, np.dtype[Any]] = {}
        for type_id in range(1, library().btf__type_cnt(self._btf)):
            kind, _, name = self._head(type_id)
            if name and kind in (_STRUCT, _ENUM):
                self._ids[kind, name] = type_id

    def struct(self, name: str) -> np.dtype[Any]:
        """The dtype of ``struct name``: same offsets, same size. Raises DataPlaneError if unknown."""
        found = self._structs.get(name)
        if found is None:
            found = self._structs[name] = self._dtype(self._find(_STRUCT, name))
        return found

    def enum(self, name: str) -> dict[str, int]:
        """The values of ``enum name`` by their names, in order. Raises DataPlaneError if unknown."""
        type_id = self._find(_ENUM, name)
        _, info, _ = self._head(type_id)
        entries = ffi.cast("int *", self._body(type_id))
        return {self._string(entries[2 * i]): entries[2 * i + 1] for i in range(info & 0xFFFF)}

    def maps(self) -> dict[str, dict[str, np.dtype[Any]]]:
        """Name of each map -> the dtypes of its ``key`` and ``value``, as far as it has any."""
        found = {}
        for type_id in range(1, library().btf__type_cnt(self._btf)):
            kind, info, name = self._head(type_id)
            if kind != _SECTION or name != _MAPS:
                continue
            words = ffi.cast("unsigned int *", self._body(type_id))
            for i in range(info & 0xFFFF):
                variable = library().btf__type_by_id(self._btf, words[3 * i])
                found[self._string(variable.name_off)] = self._pointed_at(variable.size_or_type)
        return found

    def _pointed_at(self, type_id: int) -> dict[str, np.dtype[Any]]:
        """What the members ``key`` and ``value`` of a map's definition point at (``__type`` in bpf/kernel.h)."""
        record = library().btf__type_by_id(self._btf, type_id)
        words = ffi.cast("unsigned int *", self._body(type_id))
        pointers = {self._string(words[3 * i]): words[3 * i + 1] for i in range(record.info & 0xFFFF)}
        return {
            name: self._dtype(library().btf__type_by_id(self._btf, pointers[name]).size_or_type)
            for name in ("key", "value")
            if name in pointers
        }

    def _find(self, kind: int, name: str) -> int:
        try:
            return self._ids[kind, name]
        except KeyError:
            raise DataPlaneError(f"the BPF object has no type {name}", "rebuild it with `make`") from None

    def _head(self, type_id: int) -> tuple[int, int, str]:
        record = library().btf__type_by_id(self._btf, type_id)
        return (record.info >> 24) & 0x1F, record.info, self._string(record.name_off)

    def _body(self, type_id: int) -> Any:  # noqa: ANN401 -- a cffi pointer
        return library().btf__type_by_id(self._btf, type_id) + 1

    def _string(self, offset: int) -> str:
        return _text(self._btf, offset)

    def _dtype(self, type_id: int) -> np.dtype[Any]:
        record = library().btf__type_by_id(self._btf, type_id)
        kind = (record.info >> 24) & 0x1F
        if kind in _ALIASES:
            return self._dtype(record.size_or_type)
        if kind == _INT:
            signed = ffi.cast("unsigned int *", self._body(type_id))[0] >> 24 & _SIGNED
            return np.dtype(f"{'i' if signed else 'u'}{record.size_or_type}")
        if kind == _ENUM:
            return np.dtype(f"u{record.size_or_type}")
        if kind == _ARRAY:
            words = ffi.cast("unsigned int *", self._body(type_id))
            element, length = self._dtype(words[0]), words[2]
            return np.dtype((element, (length,)))
        if kind == _STRUCT:
            return self._struct_dtype(type_id, record)
        raise DataPlaneError(f"BTF kind {kind} has no numpy form", "use plain structs in bpf/abi.h")

    def _struct_dtype(self, type_id: int, record: Any) -> np.dtype[Any]:  # noqa: ANN401 -- a cffi struct
        words = ffi.cast("unsigned int *", self._body(type_id))
        names, formats, offsets = [], [], []
        for i in range(record.info & 0xFFFF):
            names.append(self._string(words[3 * i]))
            formats.append(self._dtype(words[3 * i + 1]))
            offsets.append((words[3 * i + 2] & 0xFFFFFF) // 8)
        return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": record.size_or_type})


def variables(btf: Any, section: str) -> dict[str, tuple[int, int]]:  # noqa: ANN401 -- cffi's struct btf *
    """Name -> (offset, size) of the variables in a section of an object that libbpf has opened.

    Empty if it has no such section. A file alone does not tell the offsets: libbpf fills them in when it opens it.
    """
    lib = library()
    found = {}
    for type_id in range(1, lib.btf__type_cnt(btf) if btf != ffi.NULL else 0):
        record = lib.btf__type_by_id(btf, type_id)
        if (record.info >> 24) & 0x1F != _SECTION or _text(btf, record.name_off) != section:
            continue
        words = ffi.cast("unsigned int *", record + 1)
        for i in range(record.info & 0xFFFF):
            name = _text(btf, lib.btf__type_by_id(btf, words[3 * i]).name_off)
            found[name] = (words[3 * i + 1], words[3 * i + 2])
    return found


def _text(btf: Any, offset: int) -> str:  # noqa: ANN401 -- a cffi pointer
    text: bytes = ffi.string(library().btf__name_by_offset(btf, offset))
    return text.decode()
