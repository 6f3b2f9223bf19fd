"""`make deb`: the Debian package of lasthop for this machine's release and architecture, into build/deb.

    python -m distribution.deb FOLDER

Owns what the package says of itself: names, versions, dependencies, licences. It is made of the environment that this
runs in, without network; the same sources and environment make the same bytes (SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from distribution import closure, man, tree
from lasthop import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

_SCRIPTS = ("postinst", "prerm", "postrm")
_DESCRIPTION = """\
transparent load balancer for firewalls, with auto last hop
 lasthop shares traffic among stateful boxes in the middle (firewalls, IPS),
 which see packets addressed to somebody else, and sends responses back
 through the one that saw the request. Nothing above layer 2 is changed.
 .
 The data plane is BPF in the kernel; it goes on forwarding while the
 director, a Python program, is stopped, upgraded or killed.
 .
 The libraries it needs are in /usr/lib/lasthop, out of others' sight.
"""


def main() -> None:
    """Build the package and say how large it is."""
    made = build(Path(sys.argv[1]))
    size = made.stat().st_size / 1e6
    sys.stdout.write(f"{made}: {size:.1f} MB\n")


def build(folder: Path, level: int = 6) -> Path:
    """Build the package into `folder`, packed by xz with that level; returns its path."""
    epoch = man.source_date()
    needed = closure.needed_by("lasthop")
    with tempfile.TemporaryDirectory(prefix="lasthop-deb-") as scratch:
        root = Path(scratch) / "root"
        tree.lay_out(root, needed)
        _documents(root / "usr/share/doc/lasthop", needed, epoch)
        _copy_overrides(root)
        control = _control_fields(root)
        _control_files(root, control)
        _settle(root, epoch)
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"{control['Package']}_{control['Version']}_{control['Architecture']}.deb"
        command = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", f"-z{level}", str(root), str(made)]
        environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return made


def version() -> str:
    """Of a release of Debian, as the modules compiled for its Python fit no other."""
    return f"{__version__}-1~deb{_release().get('VERSION_ID', '0')}"


def _control_fields(root: Path) -> dict[str, str]:
    major, minor = sys.version_info[:2]
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() or path.is_symlink())
    return {
        "Package": "lasthop",
        "Version": version(),
        "Architecture": _architecture(),
        "Maintainer": _maintainer(),
        "Installed-Size": str(size // 1024),
        "Depends": f"python3 (>= {major}.{minor}), python3 (<< {major}.{minor + 1}), libbpf1, iproute2, libc6, "
        "libstdc++6, systemd | systemd-standalone-sysusers",
        "Recommends": "ethtool",
        "Suggests": "nftables, conntrack, curl, tcpdump",
        "Section": "net",
        "Priority": "optional",
        "Description": _DESCRIPTION.rstrip("\n"),
    }


def _control_files(root: Path, fields: dict[str, str]) -> None:
    folder = root / "DEBIAN"
    folder.mkdir()
    (folder / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    (folder / "conffiles").write_text("".join(f"/{path}\n" for path in _files(root) if path.startswith("etc/")))
    (folder / "md5sums").write_text(
        "".join(f"{_md5(root / path)}  {path}\n" for path in _files(root) if not path.startswith(("etc/", "DEBIAN/")))
    )
    for name in _SCRIPTS:
        shutil.copyfile(tree.PACKAGING / "deb" / name, folder / name)
        (folder / name).chmod(0o755)


def _documents(folder: Path, needed: list[Distribution], epoch: int) -> None:
    (folder / "copyright").write_text("\n".join([*_licences(needed), ""]))
    date = format_datetime(datetime.fromtimestamp(epoch, UTC))
    changes = folder / "changelog.Debian"
    changes.write_text(
        f"lasthop ({version()}) stable; urgency=medium\n\n  * What changed is in changelog.gz beside this file.\n\n"
        f" -- {_maintainer()}  {date}\n"
    )
    tree.compress(changes)


def _licences(needed: list[Distribution]) -> Iterator[str]:
    yield "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/"
    yield "Upstream-Name: lasthop"
    yield "\nFiles: *\nCopyright: 2026 the authors of lasthop\nLicense: Apache-2.0"
    yield " On Debian systems the text is in /usr/share/common-licenses/Apache-2.0."
    yield "\nFiles: usr/lib/lasthop/lib/python*/site-packages/lasthop/dataplane/objects/*"
    yield "Copyright: 2026 the authors of lasthop\nLicense: GPL-2.0-only or BSD-2-Clause"
    yield " On Debian systems the text of the first is in /usr/share/common-licenses/GPL-2."
    for each in needed:
        folder = f"{each.name.replace('-', '_')}-{each.version}.dist-info"
        yield f"\nFiles: usr/lib/lasthop/lib/python*/site-packages/{each.name}*"
        yield f"Copyright: the authors of {each.name} {each.version}"
        yield f"License: {closure.licence_of(each)}"
        yield f" Its text, where it came with one, is in {folder} beside its files."


def _copy_overrides(root: Path) -> None:
    target = root / "usr/share/lintian/overrides/lasthop"
    target.parent.mkdir(parents=True)
    shutil.copyfile(tree.PACKAGING / "deb" / "lintian-overrides", target)


def _settle(root: Path, epoch: int) -> None:
    """One time and one mode for all, whatever the umask of who builds."""
    for path in [root, *root.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        elif not path.is_symlink() and not path.stat().st_mode & 0o100:
            path.chmod(0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def _release() -> dict[str, str]:
    lines = (line.partition("=") for line in Path("/etc/os-release").read_text().splitlines())
    return {key: value.strip('"') for key, _, value in lines}


def _architecture() -> str:
    told = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    return told.stdout.strip()


def _maintainer() -> str:
    """As Debian's tools take it from who builds (dch(1))."""
    name, address = os.environ.get("DEBFULLNAME", "lasthop"), os.environ.get("DEBEMAIL", "lasthop@localhost")
    return f"{name} <{address}>"


if __name__ == "__main__":
    main()
