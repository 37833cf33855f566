"""The evidence is made of the same pieces as a training, and its document keeps what was not asked for."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from crypto_platform.core.estimators import ModelParameters

if importlib.util.find_spec("validation") is None:
    pytest.skip("the folder `validation` of the repository is not importable here", allow_module_level=True)

from validation import runs, tables, worlds
from validation.__main__ import PARTS, REPORT, replaced

TINY = ModelParameters(forest_trees=3, boosting_iterations=3)


def test_a_run_is_computed_once_and_comes_back_whole(tmp_path: Path) -> None:
    rows = worlds.labeled(worlds.planted_features(0.7, 1), 1)
    first = runs.validated(tmp_path, "x", "SIM", 1, lambda: rows, TINY)
    again = runs.validated(tmp_path, "x", "SIM", 1, lambda: pytest.fail("computed again"), TINY)
    for mine, theirs in ((first.result, again.result), (first.holdout, again.holdout)):
        assert mine is not None
        assert theirs is not None
        np.testing.assert_array_equal(mine.prob_up["ensemble"], theirs.prob_up["ensemble"])
    assert "| 70% | 840 |" in tables.planted({0.7: [again]})


def test_a_planted_direction_goes_on_as_often_as_asked() -> None:
    rows = worlds.labeled(worlds.planted_features(0.7, 1), 1)
    assert np.mean(rows.directions[1:] == rows.directions[:-1]) == pytest.approx(0.7, abs=0.04)
    shuffled = worlds.shuffled(rows, 1).directions
    assert np.mean(shuffled[1:] == shuffled[:-1]) == pytest.approx(0.5, abs=0.04)


def test_a_part_replaces_its_own_section_alone() -> None:
    text = "a\n<!-- year -->\nold\n<!-- end of year -->\nb\n"
    assert replaced(text, "year", "new") == "a\n<!-- year -->\nnew\n<!-- end of year -->\nb\n"
    with pytest.raises(ValueError, match="no marks"):
        replaced(text, "noise", "new")
    for part in PARTS:
        replaced(REPORT.read_text(), part, "")
