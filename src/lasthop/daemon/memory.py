"""The machine's memory, as far as the size of the connection table depends on it.

Owns the default of ``[table] connections``: nothing else reads the machine to understand a file.
"""

from __future__ import annotations

import re
from pathlib import Path

from lasthop.model.director import DEFAULT_CONNECTIONS
from lasthop.policy.memory import suitable_connections

_TOTAL = re.compile(r"^MemTotal:\s+(\d+) kB$", re.MULTILINE)


def default_connections(memory: Path = Path("/proc/meminfo")) -> int:
    """``[table] connections`` of a file that does not say; `memory` is as proc_meminfo(5) has it."""
    try:
        total = _TOTAL.search(memory.read_text(encoding="ascii"))
    except OSError:
        total = None
    return suitable_connections(int(total[1]) * 1024) if total else DEFAULT_CONNECTIONS
