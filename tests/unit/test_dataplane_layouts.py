"""Layouts of what is pinned: the newest is the object's, and each can be read again."""

from __future__ import annotations

from importlib import resources

from lasthop.dataplane import abi
from lasthop.dataplane.upgrade.layout import known_layout, own_layout

HOW = """the layout of what is pinned is another than layouts/{0}.json says.
If version {0} was released, raise ABI_VERSION in bpf/limits.h first. Then write it, and read what changed:
.venv/bin/python -c 'from lasthop.dataplane.upgrade.layout import own_layout; print(own_layout().text(), end="")' \\
    >src/lasthop/dataplane/upgrade/layouts/{0}.json"""


def test_the_newest_layout_is_the_objects() -> None:
    version = abi.limit("ABI_VERSION")
    known = known_layout(version)
    assert known is not None and known.text() == own_layout().text(), HOW.format(version)  # noqa: PT018 -- one remedy


def test_every_layout_that_is_kept_can_be_read_and_is_of_its_version() -> None:
    files = [file.name for file in resources.files("lasthop.dataplane.upgrade").joinpath("layouts").iterdir()]
    assert files
    for file in files:
        version = int(file.removesuffix(".json"))
        known = known_layout(version)
        assert known is not None
        assert known.version == version
        assert {"live", "table", "tags", "entries", "hops", "legs"} <= known.maps.keys()


def test_an_unknown_version_has_none() -> None:
    assert known_layout(9999) is None
