"""The build of BPF objects: clang out of the wheel ``ziglang``, called the same way everywhere.

Owns the compiler's options. Used by `hatch_build.py` when lasthop is installed, by the Makefile in a
checkout, and by tests and benches for BPF programs of their own::

    python bpf/build.py --into build/packet -I bpf tests/packet/mac_swap.bpf.c

Must not be here: anything of the package `lasthop`, which is not installed yet when this runs.
Why this compiler: docs/decisions/0001-compiler.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = Path(__file__).resolve().parent
SUFFIX = ".bpf.c"

#: Little-endian BPF with the instructions of v3 (Linux 5.12: 32-bit compare-and-exchange). What zig adds to
#: clang's defaults for the sake of ordinary programs is taken off again.
OPTIONS = (
    *("-target", "bpfel-freestanding", "-mcpu=v3", "-std=gnu11", "-O2", "-g"),
    *("-Wall", "-Wextra", "-Werror"),
    *("-fno-sanitize=all", "-fno-stack-protector", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    "-fno-addrsig",
)

#: Folders of the wheel with the kernel's UAPI headers of this machine (asm/types.h and the like).
HEADERS = {"x86_64": "x86-linux-any", "aarch64": "aarch64-linux-any"}


class BuildError(Exception):
    """A BPF object could not be built; the text is for the person who builds."""


def sources(folder: Path = SOURCES) -> list[Path]:
    """The programs in `folder`: one object each."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def object_name(source: Path) -> str:
    """What the object of `source` is called: ``lasthop.bpf.c`` gives ``lasthop.bpf.o``."""
    if not source.name.endswith(SUFFIX):
        message = f"can't build {source}: its name does not end in {SUFFIX}; rename it"
        raise BuildError(message)
    return source.name.removesuffix(".c") + ".o"


def build(source: Path, into: Path, include: Sequence[Path] = ()) -> Path:
    """Compile `source` to an object in the folder `into`, which is made if need be, and return its path.

    `include` are further folders for ``#include``. The object appears whole or not at all. Raises BuildError
    with the compiler's own words; a warning is an error.
    """
    into.mkdir(parents=True, exist_ok=True)
    target = into / object_name(source)
    with tempfile.TemporaryDirectory(prefix="lasthop-build-") as scratch:
        made = Path(scratch) / target.name
        done = subprocess.run(
            [*_compiler(), *OPTIONS, *_paths(source, include), "-c", str(source.resolve()), "-o", str(made)],
            cwd=source.resolve().parent,
            env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": scratch, "ZIG_LOCAL_CACHE_DIR": scratch},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not made.exists():
            message = f"can't build {source}:\n{done.stderr.strip() or done.stdout.strip()}"
            raise BuildError(message)
        _replace(target, made.read_bytes())
    return target


def _replace(target: Path, content: bytes) -> None:
    """Put `content` at `target` in one step: a lasthop that starts now reads the old object or the new one."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as new:
        new.write(content)
    new_path = Path(new.name)
    new_path.chmod(0o644)
    new_path.replace(target)


def _compiler() -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        message = f"can't build BPF objects: {sys.executable} has no ziglang; run 'sudo make demo' or pip install it"
        raise BuildError(message)
    return [sys.executable, "-m", "ziglang", "cc"]


def _paths(source: Path, include: Sequence[Path]) -> list[str]:
    """Options for folders: where headers are, and names in the object that do not tell where it was built."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        return []
    machine = platform.machine()
    if machine not in HEADERS:
        message = f"can't build BPF objects: no headers known for {machine}; build on one of {', '.join(HEADERS)}"
        raise BuildError(message)
    system = Path(spec.origin).parent / "lib" / "libc" / "include"
    folder = source.resolve().parent
    renamed = {folder: folder.name, system: "include", **{path.resolve(): path.name for path in include}}
    return [
        *(option for name in ("any-linux-any", HEADERS[machine]) for option in ("-isystem", str(system / name))),
        *(f"-I{path.resolve()}" for path in include),
        *(f"-ffile-prefix-map={path}={name}" for path, name in renamed.items()),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the objects named on the command line, or all of this folder."""
    parser = argparse.ArgumentParser(prog="python bpf/build.py", description="Build BPF objects.")
    parser.add_argument("source", nargs="*", type=Path, help=f"NAME{SUFFIX}; default: all beside this script")
    parser.add_argument("--into", required=True, type=Path, help="folder for NAME.bpf.o")
    parser.add_argument("-I", dest="include", action="append", default=[], type=Path, help="folder of headers")
    chosen = parser.parse_args(arguments)
    try:
        for source in chosen.source or sources():
            build(source, chosen.into, chosen.include)
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
