"""`make man`: the man pages lasthop(1) and lasthop.toml(5), into build/man.

    python -m distribution.man FOLDER

Owns the files' names and their date: SOURCE_DATE_EPOCH's, else that of the last commit, so that the same source makes
the same pages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from distribution import command_page, file_page
from lasthop import __version__

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write both pages."""
    write(Path(sys.argv[1]))


def write(folder: Path) -> list[Path]:
    """Write both pages into `folder`; returns their paths."""
    date = datetime.fromtimestamp(source_date(), UTC).strftime("%Y-%m-%d")
    configuration = (ROOT / "docs" / "configuration.md").read_text()
    pages = {
        folder / "man1" / "lasthop.1": command_page.page(__version__, date),
        folder / "man5" / "lasthop.toml.5": file_page.page(configuration, __version__, date),
    }
    for path, text in pages.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(pages)


def source_date() -> int:
    """Seconds since 1970 of the sources."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    asked = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return int(told) if told.isdigit() else int((ROOT / "CHANGELOG.md").stat().st_mtime)


if __name__ == "__main__":
    main()
