"""Where a director's maps and links live in bpffs.

Owns the paths below /sys/fs/bpf/lasthop/NAME and their making and removal. What is pinned there
is the loader's (maps) and attach's (links).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lasthop.dataplane.libbpf import check, ffi, library
from lasthop.errors import DataPlaneError

if TYPE_CHECKING:
    from collections.abc import Iterator

BPFFS = Path("/sys/fs/bpf")
_BPFFS_MAGIC = 0xCAFE4A11


class Pins:
    """The pins of one director. Raises DataPlaneError where bpffs is missing."""

    def __init__(self, director: str) -> None:
        self.root = BPFFS / "lasthop" / director
        self.maps = self.root / "maps"
        self.links = self.root / "links"

    def beside(self) -> Pins:
        """The same, with other maps: those that are made to take the place of these."""
        other = Pins(self.root.name)
        other.maps = self.root / "maps-next"
        return other

    @property
    def done(self) -> bool:
        """Whether `mark_done` was called: nothing is left but to rename these maps."""
        return self._mark.is_dir()

    def mark_done(self) -> None:
        """Mark that programs use these maps and no others: bpffs has no files, so it is a folder."""
        self._mark.mkdir(exist_ok=True)

    def remove_maps(self) -> None:
        """Unpin these maps alone. Idempotent."""
        if self.maps.is_dir():
            for pin in self.maps.iterdir():
                pin.unlink()
            self.maps.rmdir()
        if self._mark.is_dir():
            self._mark.rmdir()

    @property
    def _mark(self) -> Path:
        return self.maps.with_name(f"{self.maps.name}-done")

    def make(self) -> None:
        """Create the folders. Idempotent."""
        if not _is_bpffs(BPFFS):
            raise DataPlaneError(f"can't pin maps: {BPFFS} is not a BPF file system", f"mount -t bpf bpf {BPFFS}")
        try:
            self.maps.mkdir(parents=True, exist_ok=True)
            self.links.mkdir(exist_ok=True)
        except OSError as error:
            raise DataPlaneError(f"can't create {self.root}: {error.strerror}", "run as root") from error

    def exist(self) -> bool:
        """Whether this director has a data plane in the kernel."""
        return self.maps.is_dir() and any(self.maps.iterdir())

    def get(self, path: Path) -> int | None:
        """A new file descriptor of what is pinned at `path`, None if nothing is."""
        if not path.exists():
            return None
        return check(library().bpf_obj_get(os.fsencode(path)), f"open pin {path}")

    def put(self, fd: int, path: Path) -> None:
        """Pin `fd`."""
        check(library().bpf_obj_pin(fd, os.fsencode(path)), f"pin {path}")

    def link_infos(self, folder: Path) -> Iterator[tuple[Path, Any]]:
        """(path, struct bpf_link_info) of the links pinned in a folder; those that may not be opened are left out."""
        for path in folder.iterdir() if folder.is_dir() else ():
            fd = library().bpf_obj_get(os.fsencode(path))
            if fd >= 0:
                try:
                    yield path, link_info(fd)
                finally:
                    os.close(fd)

    def programs_of_others(self) -> set[int]:
        """Ids of the programs under other directors' pinned links; reading programs by id would take CAP_SYS_ADMIN."""
        others = [path / "links" for path in self.root.parent.iterdir() if path != self.root]
        return {int(info.prog_id) for folder in others for _, info in self.link_infos(folder)}

    def remove(self) -> None:
        """Unpin links first, so that no program runs without its maps' pins; then everything."""
        for folder in (self.links, self.maps):
            if folder.is_dir():
                for pin in folder.iterdir():
                    pin.unlink()
                folder.rmdir()
        if self.maps.name == "maps":
            self.beside().remove_maps()
        if self.root.is_dir():
            self.root.rmdir()


def pinned_directors() -> list[str]:
    """Names of the directors that have a data plane in the kernel."""
    folder = BPFFS / "lasthop"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def link_info(fd: int) -> Any:  # noqa: ANN401 -- a cffi struct
    """struct bpf_link_info of a link's descriptor."""
    info = ffi.new("struct bpf_link_info *")
    size = ffi.new("unsigned int *", ffi.sizeof("struct bpf_link_info"))
    check(library().bpf_obj_get_info_by_fd(fd, info, size), "read a link's description")
    return info


def _is_bpffs(path: Path) -> bool:
    buffer = ffi.new("long[32]")
    libc = ffi.dlopen(None)
    if libc.statfs(os.fsencode(path), buffer):
        return False
    return int(buffer[0]) == _BPFFS_MAGIC
