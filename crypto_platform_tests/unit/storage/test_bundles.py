"""Laws of models as bytes: canonical, exact, and never pickled."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io

from crypto_platform.core import estimators
from crypto_platform.core.estimators import VOLATILITY_FEATURE, Fitted, ModelParameters, TrainingSet
from crypto_platform.core.signals import MODELS
from crypto_platform.errors import ArtifactError
from crypto_platform.storage import bundles
from crypto_platform.storage.artifacts import ArtifactStore, Bundle

NAMES = ("a", "b", VOLATILITY_FEATURE)
FOREST = "models/random_forest.skops"


def fit(seed: int = 1) -> Fitted:
    rng = np.random.default_rng(4)
    inputs = np.column_stack([rng.normal(size=(400, 2)), np.full(400, 0.01)])
    returns = 0.01 * (inputs[:, 0] + rng.normal(size=400))
    rows = TrainingSet(np.arange(400), inputs, returns, (returns > 0).astype(np.int64), NAMES, 1)
    return estimators.fit(rows, ModelParameters(forest_trees=5, boosting_iterations=5, seed=seed))


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit()


@pytest.fixture(scope="module")
def files(fitted: Fitted) -> dict[str, bytes]:
    return bundles.to_files(fitted)


Publish = Callable[..., Bundle]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publish files as somebody would who can register what they like: hashes are right."""

    def do(files: dict[str, bytes], **libraries: str) -> Bundle:
        return ArtifactStore(tmp_path).publish(files, {"libraries": bundles.versions() | libraries})

    return do


def test_loaded_models_forecast_to_the_last_bit(fitted: Fitted, files: dict[str, bytes], publish: Publish) -> None:
    inputs = np.random.default_rng(9).normal(size=(50, 3)) ** 2
    loaded = bundles.load_models(publish(files))
    ours, theirs = (estimators.predict(models, inputs, NAMES, 1) for models in (fitted.models, loaded))
    for name in MODELS:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_equal_models_are_equal_bytes_and_others_are_not(files: dict[str, bytes]) -> None:
    assert bundles.to_files(fit()) == files
    assert bundles.to_files(fit(seed=2))[FOREST] != files[FOREST]


def test_canonical_archives_stay_as_they_are(files: dict[str, bytes]) -> None:
    for name in MODELS:
        assert bundles.canonical(files[f"models/{name}.skops"]) == files[f"models/{name}.skops"]


def test_a_bundle_says_how_inputs_are_scaled(files: dict[str, bytes], fitted: Fitted) -> None:
    scaling = json.loads(files[bundles.SCALING])
    assert set(scaling) == set(fitted.scaling)
    for values in scaling.values():
        assert values["feature_names"] == list(NAMES)
        assert len(values["mean"]) == len(values["scale"]) == len(NAMES)


class _Mischief:
    """Runs a command when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


def test_a_pickle_is_refused_and_not_run(files: dict[str, bytes], publish: Publish, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with pytest.raises(ArtifactError, match="random_forest is refused"):
        bundles.load_models(publish({**files, FOREST: pickle.dumps(_Mischief(trace))}))
    assert not trace.exists()


class Foreign:
    """A type that no bundle may hold."""


@pytest.mark.parametrize("value", [Foreign(), np.random.default_rng, os.system])
def test_types_off_the_list_are_refused_by_name_of_the_model(
    files: dict[str, bytes], publish: Publish, value: object
) -> None:
    with pytest.raises(ArtifactError, match="random_forest is refused"):
        bundles.load_models(publish({**files, FOREST: skops.io.dumps(value)}))


@pytest.mark.parametrize("content", [b"", b"PK", b"\x00" * 100])
def test_what_is_no_archive_is_refused(files: dict[str, bytes], publish: Publish, content: bytes) -> None:
    with pytest.raises(ArtifactError, match="random_forest is refused"):
        bundles.load_models(publish({**files, FOREST: content}))


def test_an_archive_without_its_schema_or_parts_is_refused(files: dict[str, bytes], publish: Publish) -> None:
    for gone in range(3):
        packed = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(files[FOREST])) as source, zipfile.ZipFile(packed, "w") as target:
            kept = sorted(source.namelist(), key=lambda name: name == bundles.SCHEMA)
            for name in kept[: len(kept) - 1 - gone] if gone else kept[:-1]:
                target.writestr(name, source.read(name))
        with pytest.raises(ArtifactError, match="random_forest is refused"):
            bundles.load_models(publish({**files, FOREST: packed.getvalue()}))


@pytest.mark.parametrize(("made_by", "fits"), [("0.24.2", False), ("99.0.0", False), ("same minor", True)])
def test_models_of_another_minor_version_are_refused(
    files: dict[str, bytes], publish: Publish, made_by: str, fits: bool
) -> None:
    ours = bundles.versions()["scikit-learn"]
    if fits:
        assert bundles.load_models(publish(files, **{"scikit-learn": ".".join([*ours.split(".")[:2], "99"])}))
        return
    with pytest.raises(ArtifactError, match=rf"made by scikit-learn {made_by}, this is {ours}; train again"):
        bundles.load_models(publish(files, **{"scikit-learn": made_by}))


def test_a_model_too_large_is_refused_before_it_is_opened(
    files: dict[str, bytes], publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "SIZE_LIMIT", 100)
    with pytest.raises(ArtifactError, match="100 are allowed"):
        bundles.load_models(publish(files))
