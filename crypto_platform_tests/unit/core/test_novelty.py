"""Laws of novelty: 1 at the edge of what was seen, growing with distance, measured as scikit-learn's neighbors do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from crypto_platform.core.novelty import LIMIT_QUANTILE, NEIGHBORS, NOVEL, novelty, reference


def rows(seed: int, n: int = 300, d: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32).astype(float)


@given(st.integers(0, 10_000), st.integers(NEIGHBORS + 2, 80), st.integers(1, 8))
def test_it_is_the_mean_distance_to_the_nearest_in_units_of_the_training_rows_own(seed: int, n: int, d: int) -> None:
    seen, asked = rows(seed, n, d), 3 * rows(seed + 1, 7, d)
    neighbors = NearestNeighbors(n_neighbors=NEIGHBORS, algorithm="brute").fit(seen)
    own = neighbors.kneighbors()[0].mean(axis=1)  # without a query: of each row from the others
    expected = neighbors.kneighbors(asked)[0].mean(axis=1) / np.quantile(own, LIMIT_QUANTILE)
    np.testing.assert_allclose(novelty(reference(seen), asked), expected, rtol=1e-9)


def test_one_training_row_in_a_hundred_lies_beyond_the_unit_and_a_stranger_is_novel() -> None:
    held = reference(rows(1, 2000))
    fresh = novelty(held, rows(2, 2000))
    assert 0.002 < (fresh > 1).mean() < 0.03
    assert (fresh <= NOVEL).mean() > 0.999
    assert (novelty(held, rows(3, 50) + 8) > NOVEL).all()


def test_a_row_has_the_same_novelty_alone_and_among_others() -> None:
    held, asked = reference(rows(4)), rows(5, 40)
    together = novelty(held, asked)
    assert [novelty(held, row[None])[0] for row in asked] == together.tolist()


@pytest.mark.parametrize("scale", [2.0, 0.25])
def test_only_relative_distance_counts(scale: float) -> None:
    seen, asked = rows(6), rows(7, 30)
    plain = novelty(reference(seen), asked)
    np.testing.assert_allclose(novelty(reference(seen * scale), asked * scale), plain, rtol=1e-9)
