"""The file system of a virtual machine: cpio archives one after the other, as the kernel unpacks them into memory.

Owns the archive's shape. Must not be here: which files there are.
"""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tests.kernels.refusal import KernelTestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import BinaryIO

#: Where programs lie: links to folders of /usr, which must be there before what is reached through them.
_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def append(archive: BinaryIO, top: Path, paths: Iterable[str]) -> None:
    """Append files below `top`, given relative to it, and the folders they are in. Raises KernelTestError."""
    wanted = {*_MERGED} if top == Path("/") else set()
    for path in paths:
        given = PurePosixPath(path)
        # A file is unpacked where it really is; a link to a folder on its way would lead nowhere yet.
        real = PurePosixPath((top / given.parent).resolve().relative_to(top.resolve())) / given.name
        wanted.update(str(each) for each in (real, *real.parents) if each.name)
    listed = "\0".join(path for path in sorted(wanted) if (top / path).is_symlink() or (top / path).exists())
    try:
        done = subprocess.run(
            ["cpio", "--create", "--null", "--format=newc", "--quiet"],
            cwd=top, input=listed.encode(), stdout=archive, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise KernelTestError("can't pack the machine's files: there is no cpio", "apt-get install -y cpio") from None
    if done.returncode:
        raise KernelTestError(
            f"can't pack files of {top}: {done.stderr.decode().strip()}", "see that they are readable"
        )
