"""The files of the Debian package, laid out below a folder that stands for the root of a machine.

Owns where each file goes. What the package says of itself is `distribution.deb`'s.
"""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from distribution import closure, completions, man

if TYPE_CHECKING:
    from importlib.metadata import Distribution

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"
#: A virtual environment of the machine's own interpreter, so that nothing else's modules are in the way, or see these.
HOME = PurePosixPath("usr/lib/lasthop")
PYTHON = "../../../bin/python3"
_IPVSADM = ("ipvsadm", "ipvsadm-save", "ipvsadm-restore")


def lay_out(root: Path, needed: list[Distribution]) -> None:
    """Put every file of the package below `root`, but for what dpkg itself keeps."""
    _environment(root, needed)
    _programs(root)
    _copy(PACKAGING / "systemd" / "lasthop@.service", root / "usr/lib/systemd/system/lasthop@.service")
    _copy(PACKAGING / "deb" / "sysusers.conf", root / "usr/lib/sysusers.d/lasthop.conf")
    _copy(ROOT / "examples" / "lb1.toml", root / "etc/lasthop/lb1.toml.example")
    for name in ("grafana/lasthop.json", "prometheus/lasthop.rules.yml"):
        _copy(PACKAGING / name, root / "usr/share/lasthop" / name)
    completions.write(root / "usr/share")
    for page in man.write(root / "usr/share/man"):
        compress(page)
    _documents(root / "usr/share/doc/lasthop")


def compress(path: Path) -> None:
    """Replace a file by its .gz, which names no time and no file: the same text makes the same bytes."""
    with path.with_name(f"{path.name}.gz").open("wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(path.read_bytes())
    path.unlink()


def _environment(root: Path, needed: list[Distribution]) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    site = root / HOME / "lib" / f"python{version}" / "site-packages"
    for each in needed:
        for path in closure.files_of(each):
            _copy(Path(str(each.locate_file(str(path)))), site / path)
    ignored = shutil.ignore_patterns("__pycache__", ".gitkeep")
    shutil.copytree(ROOT / "src" / "lasthop", site / "lasthop", ignore=ignored, copy_function=_copy)
    (root / HOME / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n"
    )


def _programs(root: Path) -> None:
    folder = root / HOME / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to(PYTHON)
    _copy(PACKAGING / "deb" / "lasthop", root / "usr/bin/lasthop")
    (root / "usr/bin/lasthop").chmod(0o755)
    # Not in PATH: that place is ipvsadm's own, where both are installed.
    for name in _IPVSADM:
        (folder / name).symlink_to("../../../bin/lasthop")
    (folder / "lasthop").symlink_to("../../../bin/lasthop")


def _documents(folder: Path) -> None:
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        _copy(path, folder / path.relative_to(ROOT).as_posix().removeprefix("docs/"))
    for path in sorted((ROOT / "examples").glob("*.toml")):
        _copy(path, folder / "examples" / path.name)
    _copy(ROOT / "CHANGELOG.md", folder / "changelog")
    compress(folder / "changelog")


def _copy(source: str | Path, target: str | Path) -> None:
    """Contents alone, readable by all: who built it leaves no trace."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    Path(target).chmod(0o644)
