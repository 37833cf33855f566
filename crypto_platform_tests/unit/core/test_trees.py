"""Laws of flat trees: a row ends where a walk by hand ends, and arrays that no walk leaves are refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core import trees
from crypto_platform.core.trees import FEATURE, NODE, Trees

N_FEATURES = 3


@st.composite
def forests(draw: st.DrawFn) -> Trees:
    """Trees of any shape, thresholds from few values so that inputs meet them."""
    feature: list[int] = []
    number: list[float] = []
    children: list[tuple[int, int]] = []

    def grow(depth: int) -> int:
        here = len(number)
        is_leaf = depth == 0 or draw(st.booleans())
        feature.append(0 if is_leaf else draw(st.integers(0, N_FEATURES - 1)))
        number.append(draw(st.sampled_from([-1.0, 0.0, 0.5, 1.0])))
        children.append((here, here))
        if not is_leaf:
            left = grow(depth - 1)
            children[here] = (left, grow(depth - 1))
        return here

    roots = [grow(draw(st.integers(0, 5))) for _ in range(draw(st.integers(1, 4)))]
    return Trees(
        np.array(roots, NODE), np.array(feature, FEATURE), np.array(number), np.array(children, NODE).reshape(-1, 2)
    )


def by_hand(forest: Trees, row: np.ndarray) -> list[float]:
    ends = []
    for root in forest.roots:
        node = int(root)
        while forest.children[node, 0] != node:
            left, right = forest.children[node]
            node = int(left if row[forest.feature[node]] <= forest.number[node] else right)
        ends.append(float(forest.number[node]))
    return ends


@given(forests(), st.lists(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 0.7, 1.0, 9.0]), min_size=3, max_size=3)))
def test_every_row_ends_where_a_walk_by_hand_does(forest: Trees, rows: list[list[float]]) -> None:
    trees.check(forest, N_FEATURES)
    inputs = np.array(rows, float).reshape(-1, N_FEATURES)
    got = trees.outputs(forest, inputs)
    assert got.shape == (len(rows), len(forest.roots))
    assert got.tolist() == [by_hand(forest, row) for row in inputs]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"roots": [5]}, "root is no node"),
        ({"roots": [-1]}, "root is no node"),
        ({"roots": []}, "no tree"),
        ({"feature": [3, 0, 0]}, "input that is not there"),
        ({"feature": [-1, 0, 0]}, "input that is not there"),
        ({"children": [[1, 3], [1, 1], [2, 2]]}, "do not come after"),
        ({"children": [[1, 2], [0, 0], [2, 2]]}, "do not come after"),
        ({"children": [[0, 2], [1, 1], [2, 2]]}, "do not come after"),
        ({"children": [[1, -2], [1, 1], [2, 2]]}, "do not come after"),
        ({"number": [np.nan, 0, 1]}, "not finite"),
        ({"number": [0, np.inf, 1]}, "not finite"),
    ],
)
def test_a_walk_without_an_end_is_refused(change: dict[str, list[object]], why: str) -> None:
    sound = {"roots": [0], "feature": [2, 0, 0], "number": [0.5, 1.0, 2.0], "children": [[1, 2], [1, 1], [2, 2]]}
    types = {"roots": NODE, "feature": FEATURE, "number": float, "children": NODE}

    def made(parts: dict[str, list[object]]) -> Trees:
        return Trees(**{name: np.array(parts[name], types[name]) for name in types})  # type: ignore[arg-type]

    trees.check(made(sound), N_FEATURES)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=why):
        trees.check(made({**sound, **change}), N_FEATURES)  # type: ignore[dict-item]


def test_a_forest_sees_float32_and_no_more() -> None:
    apart = np.array([[1.0, 1.0 + 1e-9, 1e300, -1e300]])
    assert trees.as_forests_see(apart).tolist() == [[1.0, 1.0, np.inf, -np.inf]]
