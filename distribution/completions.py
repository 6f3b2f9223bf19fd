"""`make completions`: what bash, zsh and fish need to complete lasthop's words, into build/completions.

    python -m distribution.completions FOLDER

Owns the files' names, which are where each shell's own folder expects them. The scripts are click's; the words come
from `lasthop` itself when a key is pressed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from lasthop.__main__ import program


class _Bash(BashComplete):
    """Click's, without running the bash of this machine to see how old it is."""

    @staticmethod
    def _check_version() -> None:
        pass


_SHELLS: dict[str, type[ShellComplete]] = {
    "bash-completion/completions/lasthop": _Bash,
    "zsh/vendor-completions/_lasthop": ZshComplete,
    "fish/vendor_completions.d/lasthop.fish": FishComplete,
}


def write(folder: Path) -> list[Path]:
    """Write the three scripts below `folder`, which stands for /usr/share; returns their paths."""
    written = []
    for name, shell in _SHELLS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(shell(program, {}, "lasthop", "_LASTHOP_COMPLETE").source())
        written.append(path)
    return written


if __name__ == "__main__":
    write(Path(sys.argv[1]))
