"""Tests of built packages take minutes and a root of Debian: `make test-deb` runs them, `make test` does not."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("LASTHOP_TEST_DEB") == "1" else ["test_*.py"]
