"""libbpf through cffi: the calls lasthop needs, with errno turned into DataPlaneError.

Owns the foreign-function interface and nothing that is lasthop's. libbpf.so.1 comes with
iproute2. Declarations follow libbpf 1.1's bpf.h, libbpf.h and btf.h; option structs are cut after
the last field used, which libbpf allows (their first field is their size).
"""

from __future__ import annotations

import errno
import functools
import mmap
import os
from typing import TYPE_CHECKING, Any

import cffi
import numpy as np

from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DECLARATIONS = """
int statfs(const char *path, void *buf);
struct bpf_object; struct bpf_map; struct bpf_program; struct btf;
struct bpf_object *bpf_object__open_file(const char *path, const void *opts);
int bpf_object__load(struct bpf_object *obj);
void bpf_object__close(struct bpf_object *obj);
struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map);
struct btf *bpf_object__btf(const struct bpf_object *obj);
struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog);
const char *bpf_map__name(const struct bpf_map *map);
int bpf_map__fd(const struct bpf_map *map);
unsigned int bpf_map__max_entries(const struct bpf_map *map);
int bpf_map__set_max_entries(struct bpf_map *map, unsigned int max_entries);
unsigned int bpf_map__key_size(const struct bpf_map *map);
unsigned int bpf_map__value_size(const struct bpf_map *map);
int bpf_map__reuse_fd(struct bpf_map *map, int fd);
void *bpf_map__initial_value(struct bpf_map *map, size_t *psize);
const char *bpf_program__name(const struct bpf_program *prog);
int bpf_program__fd(const struct bpf_program *prog);
int bpf_program__set_log_buf(struct bpf_program *prog, char *log_buf, size_t log_size);
int bpf_program__set_autoload(struct bpf_program *prog, bool autoload);
struct bpf_prog_info { unsigned int type, id; unsigned char tag[8]; unsigned int jited_len, xlated_len;
                       unsigned long long jited, xlated, load_time; unsigned int uid, nr_map_ids;
                       unsigned long long map_ids; char name[16]; };
struct bpf_map_info { unsigned int type, id, key_size, value_size, max_entries, flags; char name[16]; };
struct bpf_link_info { unsigned int type, id, prog_id, pad, ifindex, attach_type; unsigned long long rest[8]; };
int bpf_obj_pin(int fd, const char *pathname);
int bpf_obj_get(const char *pathname);
int bpf_obj_get_info_by_fd(int fd, void *info, unsigned int *info_len);
int bpf_prog_get_fd_by_id(unsigned int id);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, unsigned long long flags);
int bpf_map_delete_elem(int fd, const void *key);
int bpf_map_get_next_key(int fd, const void *key, void *next_key);
int bpf_map_lookup_batch(int fd, void *in, void *out, void *keys, void *values, unsigned int *count, const void *opts);
struct bpf_link_create_opts { size_t sz; unsigned int flags; };
int bpf_link_create(int prog_fd, int target_fd, int attach_type, const struct bpf_link_create_opts *opts);
int bpf_link_update(int link_fd, int new_prog_fd, const void *opts);
int bpf_link_detach(int link_fd);
struct bpf_prog_query_opts { size_t sz; unsigned int query_flags, attach_flags; unsigned int *prog_ids;
                             unsigned int prog_count; unsigned int *prog_attach_flags; };
int bpf_prog_query_opts(int target_fd, int type, struct bpf_prog_query_opts *opts);
struct bpf_xdp_query_opts { size_t sz; unsigned int prog_id, drv_prog_id, hw_prog_id, skb_prog_id;
                            unsigned char attach_mode; };
int bpf_xdp_query(int ifindex, int flags, struct bpf_xdp_query_opts *opts);
struct bpf_tc_hook { size_t sz; int ifindex; int attach_point; unsigned int parent; };
struct bpf_tc_opts { size_t sz; int prog_fd; unsigned int flags, prog_id, handle, priority; };
int bpf_tc_hook_create(struct bpf_tc_hook *hook);
int bpf_tc_attach(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
int bpf_tc_detach(const struct bpf_tc_hook *hook, const struct bpf_tc_opts *opts);
int bpf_tc_query(const struct bpf_tc_hook *hook, struct bpf_tc_opts *opts);
struct bpf_test_run_opts { size_t sz; const void *data_in; void *data_out; unsigned int data_size_in, data_size_out;
                           const void *ctx_in; void *ctx_out; unsigned int ctx_size_in, ctx_size_out;
                           unsigned int retval; int repeat; unsigned int duration, flags, cpu, batch_size; };
int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts);
typedef int (*libbpf_print_fn_t)(int level, const char *format, void *args);
libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t fn);
struct btf_type { unsigned int name_off, info, size_or_type; };
struct btf *btf__parse(const char *path, void *btf_ext);
void btf__free(struct btf *btf);
unsigned int btf__type_cnt(const struct btf *btf);
const struct btf_type *btf__type_by_id(const struct btf *btf, unsigned int id);
const char *btf__name_by_offset(const struct btf *btf, unsigned int offset);
"""

ffi = cffi.FFI()
ffi.cdef(_DECLARATIONS)


@functools.cache
def library() -> Any:  # noqa: ANN401 -- cffi has no type for a library
    """The loaded libbpf.so.1. Raises DataPlaneError where there is none."""
    try:
        lib = ffi.dlopen("libbpf.so.1")
    except OSError as error:
        raise DataPlaneError(f"can't load libbpf.so.1: {error}", "apt install libbpf1") from error
    lib.libbpf_set_print(ffi.NULL)
    return lib


def check(result: int, operation: str, remedy: str = "") -> int:
    """Return `result` if it is no error; else raise DataPlaneError naming `operation` and errno."""
    if result >= 0:
        return result
    raise failure(operation, -result, remedy)


def failure(operation: str, code: int, remedy: str = "") -> DataPlaneError:
    """The error for `operation` that failed with errno `code`."""
    if not remedy:
        remedy = {
            errno.EPERM: "run as root, or give the process CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_RAW",
            errno.EACCES: "run as root, or give the process CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_RAW",
            errno.ENOMEM: "free memory, or lower [table] connections",
        }.get(code, "see `lasthop doctor`")
    error = DataPlaneError(f"can't {operation}: {os.strerror(code)}", remedy)
    error.__cause__ = OSError(code, os.strerror(code))
    return error


def code_of(error: DataPlaneError) -> int:
    """The errno behind an error made by `failure`, or 0."""
    cause = error.__cause__
    return cause.errno or 0 if isinstance(cause, OSError) else 0


class Map:
    """A BPF map by file descriptor; keys and values are bytes or numpy scalars' bytes."""

    def __init__(self, name: str, fd: int, key_size: int, value_size: int, max_entries: int) -> None:
        self.name = name
        self.fd = fd
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries

    def lookup(self, key: bytes) -> bytes | None:
        """The value of `key`, None if there is none."""
        value = ffi.new("char[]", self.value_size)
        result = library().bpf_map_lookup_elem(self.fd, key, value)
        if result == -errno.ENOENT:
            return None
        check(result, f"read map {self.name}")
        return bytes(ffi.buffer(value))

    def update(self, key: bytes, value: bytes, *, only_new: bool = False) -> bool:
        """Write; with `only_new` return False instead where the key exists."""
        result = library().bpf_map_update_elem(self.fd, key, value, 1 if only_new else 0)
        if only_new and result == -errno.EEXIST:
            return False
        check(result, f"write map {self.name}")
        return True

    def delete(self, key: bytes) -> bool:
        """Remove; False if there was nothing."""
        result = library().bpf_map_delete_elem(self.fd, key)
        if result == -errno.ENOENT:
            return False
        check(result, f"delete from map {self.name}")
        return True

    def push(self, value: bytes) -> None:
        """Append to a queue map."""
        check(library().bpf_map_update_elem(self.fd, ffi.NULL, value, 0), f"push to map {self.name}")

    def keys(self) -> list[bytes]:
        """All keys; one that vanishes while walking may end the walk early or be listed still."""
        found: list[bytes] = []
        key = ffi.NULL
        while True:
            following = ffi.new("char[]", self.key_size)
            if library().bpf_map_get_next_key(self.fd, key, following):
                return found
            found.append(bytes(ffi.buffer(following)))
            key = following
            if len(found) > self.max_entries:
                return found

    def entries(self) -> dict[bytes, bytes]:
        """All entries of a hash or a trie map."""
        keys, values = self.batch(np.dtype(f"V{self.key_size}"), np.dtype(f"V{self.value_size}"))
        return dict(zip(keys.tolist(), values.tolist(), strict=True))

    def batch(self, key_type: np.dtype[Any], value_type: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """All keys and values of a hash or a trie map as two arrays, read a batch at a time."""
        chunk = min(self.max_entries, 65536)
        keys, values = np.empty(chunk, key_type), np.empty(chunk, value_type)
        kept: list[tuple[NDArray[Any], NDArray[Any]]] = []
        # Where a batch ended: a number of a hash map's, a key of a trie's.
        position, following = ffi.NULL, ffi.new("char[]", max(4, self.key_size))
        while True:
            count = ffi.new("unsigned int *", chunk)
            result = library().bpf_map_lookup_batch(
                self.fd, position, following, ffi.from_buffer(keys), ffi.from_buffer(values), count, ffi.NULL
            )
            if result not in (0, -errno.ENOENT):
                check(result, f"read map {self.name} in batches")
            kept.append((keys[: count[0]].copy(), values[: count[0]].copy()))
            if result == -errno.ENOENT:
                return np.concatenate([k for k, _ in kept]), np.concatenate([v for _, v in kept])
            position = ffi.new("char[]", ffi.buffer(following)[:])

    def view(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The live contents of a BPF_F_MMAPABLE array, writable, without a copy."""
        size = (self.value_size + 7) // 8 * 8
        if dtype.itemsize != size:
            dtype = np.dtype({"names": ["value"], "formats": [dtype], "itemsize": size})
        memory = mmap.mmap(self.fd, size * self.max_entries)
        view = np.frombuffer(memory, dtype, self.max_entries)
        return view["value"] if dtype.names == ("value",) else view


def test_run(
    program_fd: int, data: bytes, context: bytes, *, repeat: int = 1, flags: int = 0, room: int = 0
) -> tuple[int, bytes, int]:
    """BPF_PROG_TEST_RUN: (verdict, frame afterwards, mean ns per run).

    `room` bytes are offered for the frame afterwards; 0 with the live-frames flag, which gives none back.
    """
    opts = ffi.new("struct bpf_test_run_opts *")
    opts.sz = ffi.sizeof("struct bpf_test_run_opts")
    data_in, context_in = ffi.from_buffer(data), ffi.from_buffer(context)
    output = ffi.new("char[]", room or 1)
    if data:
        opts.data_in, opts.data_size_in = data_in, len(data)
    if room:
        opts.data_out, opts.data_size_out = output, room
    if context:
        opts.ctx_in, opts.ctx_size_in = context_in, len(context)
    opts.repeat, opts.flags = repeat, flags
    check(library().bpf_prog_test_run_opts(program_fd, opts), "run a program by BPF_PROG_TEST_RUN")
    return opts.retval, bytes(ffi.buffer(output, opts.data_size_out)) if room else b"", opts.duration


def run_syscall(program_fd: int, argument: NDArray[Any]) -> int:
    """Run a SEC("syscall") program on `argument`, which it may change in place; returns its value."""
    opts = ffi.new("struct bpf_test_run_opts *")
    opts.sz = ffi.sizeof("struct bpf_test_run_opts")
    buffer = ffi.from_buffer(argument)
    opts.ctx_in = buffer
    opts.ctx_size_in = argument.nbytes
    check(library().bpf_prog_test_run_opts(program_fd, opts), "run a syscall program")
    return int(opts.retval)
