"""The bench's baselines: the product's object with another table, which must follow every change of the product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench import variants

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("baseline", variants.MAP_TYPES)
def test_each_baseline_builds_from_the_product_with_its_own_table(
    baseline: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "OBJECTS", tmp_path)
    assert variants.build_variant(baseline, 1000).stat().st_size > 0
