"""The page of published results: up to date, and on the right side of met and not met."""

import importlib.util
from pathlib import Path

import pytest

from dgmcourse import recipes

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("reproduction", ROOT / "tools" / "reproduction.py")
reproduction = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reproduction)


def test_the_page_is_what_the_weights_and_tables_say():
    assert reproduction.PAGE.read_text(encoding="utf-8") == reproduction.text(), (
        "docs/reproduction.md is older than the weights: python tools/reproduction.py"
    )


def test_every_weight_with_a_published_result_has_a_recipe():
    weights_of = {row.of for row in reproduction.ROWS if not row.where}
    assert weights_of <= set(recipes.all_recipes())


@pytest.mark.parametrize(
    ("published", "higher", "missed"),
    [(84.0, False, False), (80.0, False, True), (84.0, True, True), (80.0, True, False)],
)
def test_a_worse_result_is_not_met(monkeypatch, published, higher, missed):
    monkeypatch.setattr(reproduction, "ours", lambda row: (82.0, 0.5, "10 digits"))
    row = reproduction.ROWS[0]._replace(published=published, higher=higher)
    assert reproduction.missed(row) is missed
    gap = 82.0 - published if not higher else published - 82.0
    assert f"| {gap:+.2f} |" in reproduction.line(row)


def test_one_training_is_no_table():
    row = reproduction.ROWS[-1]._replace(where={"method": "GC-MC", "seed": 0})
    with pytest.raises(ValueError, match="expected several rows"):
        reproduction.ours(row)
