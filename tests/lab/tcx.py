"""Whether this kernel has tcx: there a link holds the program of tc on a leg, before Linux 6.6 a clsact filter does."""

from __future__ import annotations

import os
import re

import pytest

_FIRST = (6, 6)
_RELEASE = os.uname().release
HAS_TCX = tuple(int(number) for number in re.findall(r"\d+", _RELEASE)[:2]) >= _FIRST
#: How the program of tc is attached here; `tests.lab.test_attach.on` says it so.
HOLDER = "tcx" if HAS_TCX else "filter"
needs_tcx = pytest.mark.skipif(not HAS_TCX, reason=f"needs tcx, which Linux has since 6.6; this is {_RELEASE}")
