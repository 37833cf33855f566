"""Laws of models as bytes: canonical, exact, and never pickled."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_platform.core import calibration, estimators, serving
from crypto_platform.core.estimators import VOLATILITY_FEATURE, Fitted, ModelParameters, TrainingSet
from crypto_platform.core.signals import MODELS
from crypto_platform.errors import ArtifactError
from crypto_platform.storage import artifacts, bundles, npz
from crypto_platform.storage.artifacts import MANIFEST, ArtifactStore, Bundle
from crypto_platform_tests.strategies import laws

NAMES = ("a", "b", VOLATILITY_FEATURE)
FOREST = "models/random_forest.skops"


def training_inputs() -> np.ndarray:
    rng = np.random.default_rng(4)
    return np.column_stack([rng.normal(size=(400, 2)), np.full(400, 0.01)])


def fit(seed: int = 1) -> Fitted:
    rng, inputs = np.random.default_rng(5), training_inputs()
    returns = 0.01 * (inputs[:, 0] + rng.normal(size=400))
    rows = TrainingSet(np.arange(400), inputs, returns, (returns > 0).astype(np.int64), NAMES, 1)
    return estimators.fit(rows, ModelParameters(forest_trees=5, boosting_iterations=5, seed=seed))


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    return fit()


@pytest.fixture(scope="module")
def files(fitted: Fitted) -> dict[str, bytes]:
    return bundles.to_files(fitted, training_inputs())


SAID = {"features": list(NAMES), "horizon": 1, bundles.SERVING_FORMAT: serving.FORMAT}
Publish = Callable[..., Bundle]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    """Publish files as somebody would who can register what they like: hashes are right."""

    def do(files: dict[str, bytes], said: dict[str, Any] | None = None, **libraries: str) -> Bundle:
        manifest = {**SAID, "libraries": bundles.versions() | libraries, **(said or {})}
        return ArtifactStore(tmp_path).publish(files, manifest)

    return do


def test_loaded_models_forecast_to_the_last_bit(fitted: Fitted, files: dict[str, bytes], publish: Publish) -> None:
    inputs = np.random.default_rng(9).normal(size=(50, 3)) ** 2
    loaded = bundles.load_models(publish(files))
    ours, theirs = (estimators.predict(models, inputs, NAMES, 1) for models in (fitted.models, loaded))
    for name in MODELS:
        np.testing.assert_array_equal(ours[name], theirs[name])


@laws
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(40, 400),
    columns=st.integers(1, 6),
    parameters=st.builds(
        ModelParameters,
        forest_trees=st.integers(1, 5),
        forest_depth=st.integers(1, 6),
        boosting_iterations=st.integers(1, 6),
        boosting_leaf=st.integers(5, 40),
        ridge_alpha=st.floats(1e-3, 1e4),
        logistic_c=st.floats(1e-3, 10),
    ),
    calibrated=st.booleans(),
    scale=st.sampled_from([1e-9, 1.0, 1e6]),
)
def test_what_is_published_forecasts_as_what_was_fitted(
    publish: Publish, seed: int, n: int, columns: int, parameters: ModelParameters, calibrated: bool, scale: float
) -> None:
    """Of any models of any features: by the skops files to the last bit, by the serving form but for rounding."""
    rng = np.random.default_rng(seed)
    names = (*(f"x{i}" for i in range(columns)), VOLATILITY_FEATURE)
    inputs = np.column_stack([scale * rng.standard_t(3, (n, columns)), rng.uniform(0, 0.02, n)])
    returns = 0.01 * rng.normal(size=n)
    returns[:2] = 0.01, -0.01
    rows = TrainingSet(np.arange(n), inputs, returns, (returns > 0).astype(np.int64), names, 3)
    fitted = estimators.fit(rows, replace(parameters, seed=seed))
    calibrators = {"random_forest": np.array([0.1, 0.9])} if calibrated else {}
    said = {"features": list(names), "horizon": 3, "calibrators": {n: c.tolist() for n, c in calibrators.items()}}
    bundle = publish(bundles.to_files(fitted, inputs), said)
    asked = np.concatenate([inputs, scale * rng.normal(size=(20, columns + 1)) ** 2])
    wanted, kept = (
        calibration.apply_all(calibrators, estimators.predict(models, asked, names, 3))
        for models in (fitted.models, bundles.load_models(bundle))
    )
    served = serving.predict(bundles.load_serving(bundle), asked)
    for name in MODELS:
        np.testing.assert_array_equal(kept[name], wanted[name])
        np.testing.assert_allclose(served[name], wanted[name], rtol=1e-9, atol=serving.TOLERANCE)


def test_equal_models_are_equal_bytes_and_others_are_not(files: dict[str, bytes]) -> None:
    assert bundles.to_files(fit(), training_inputs()) == files
    other = bundles.to_files(fit(seed=2), training_inputs())
    assert other[FOREST] != files[FOREST]
    assert other[bundles.SERVING] != files[bundles.SERVING]


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


@pytest.mark.parametrize("name", [FOREST, bundles.SERVING])
def test_a_file_too_large_is_refused_before_it_is_opened(
    files: dict[str, bytes], publish: Publish, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bundle = publish(files)
    (bundle.folder / name).unlink()
    monkeypatch.setattr(artifacts, "FILE_LIMIT", 100)
    load = bundles.load_serving if name == bundles.SERVING else bundles.load_models
    with pytest.raises(ArtifactError, match="more than 100 bytes"):
        load(bundle)


def test_both_forms_of_a_bundle_are_the_same_models(files: dict[str, bytes], publish: Publish) -> None:
    bundle = publish(files)
    bundles.prove(bundle)
    form = bundles.load_serving(bundle)
    inputs = np.random.default_rng(9).normal(size=(500, 3)) ** 2
    theirs = estimators.predict(bundles.load_models(bundle), inputs, NAMES, 1)
    apart, _ = serving.largest_difference(serving.predict(form, inputs), theirs)
    assert apart <= serving.TOLERANCE


def test_two_forms_that_differ_are_told_apart(files: dict[str, bytes], publish: Publish) -> None:
    other = bundles.to_files(fit(seed=2), training_inputs())
    with pytest.raises(ArtifactError, match=r"random_forest\.\w+ of serving\.npz is not what its skops file has"):
        bundles.prove(publish({**files, bundles.SERVING: other[bundles.SERVING]}))


@pytest.mark.parametrize("name", MODELS)
def test_a_serving_form_that_differs_from_scikit_learn_is_not_published(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flatten = serving.flatten

    def wrong(models: Any) -> dict[str, np.ndarray]:
        arrays = flatten(models)
        part = "number" if f"{name}.number" in arrays else "coefficients"
        return {**arrays, f"{name}.{part}": arrays[f"{name}.{part}"] + 1e-9}

    monkeypatch.setattr(serving, "flatten", wrong)
    with pytest.raises(ArtifactError, match=f"serving form of {name} is .* nothing is published"):
        bundles.to_files(fitted, training_inputs())


@pytest.mark.parametrize("made", [None, 0, 2, "1"])
def test_an_unknown_serving_format_is_refused(files: dict[str, bytes], publish: Publish, made: object) -> None:
    with pytest.raises(ArtifactError, match=f"serving format {made}, this version reads {serving.FORMAT}; train again"):
        bundles.load_serving(publish(files, {bundles.SERVING_FORMAT: made}))


def test_serving_never_opens_skops_and_does_not_ask_for_scikit_learn(files: dict[str, bytes], publish: Publish) -> None:
    """A bundle of another scikit-learn serves on, its other files in ruins."""
    bundle = publish({**files, FOREST: b"ruins"}, **{"scikit-learn": "0.1"})
    assert bundles.load_serving(bundle).feature_names == NAMES


def test_forecasting_imports_neither_scikit_learn_nor_skops(files: dict[str, bytes], publish: Publish) -> None:
    bundle = publish(files)
    script = f"""
import sys
from pathlib import Path
import numpy as np
from crypto_platform.core import serving
from crypto_platform.storage import bundles
from crypto_platform.storage.artifacts import ArtifactStore
bundle = ArtifactStore(Path({str(bundle.folder.parents[1])!r})).open({bundle.version!r}, {bundle.sha256!r})
assert serving.predict(bundles.load_serving(bundle), np.ones((1, 3)))["random_forest"].shape == (1,)
assert not {{"sklearn", "skops", "scipy", "joblib"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def damaged(content: bytes) -> dict[str, bytes]:
    """Serving forms with right hashes that no honest publisher would have written."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    arrays = {name: np.load(io.BytesIO(part)) for name, part in parts.items()}

    def changed(name: str, position: Any, value: float) -> bytes:
        array = arrays[name].copy()
        array[position] = value
        return npz.write({**arrays, name: array})

    return {
        "endless": changed("random_forest.children", (0, 0), 0),
        "outside": changed("gradient_boosting.children", (0, 1), 10**6),
        "no such input": changed("random_forest.feature", 0, 3),
        "nan": changed("logistic_regression.coefficients", 0, np.nan),
        "no scale": changed("ridge_regression.scale", 0, 0),
        "infinite": changed("gradient_boosting.baseline", 0, np.inf),
        "one missing": npz.write({k: v for k, v in arrays.items() if k != "random_forest.roots"}),
        "one more": npz.write({**arrays, "more": np.zeros(1)}),
        "fewer inputs": npz.write({**arrays, "ridge_regression.mean": np.zeros(2)}),
        "pickle": pickle.dumps(arrays),
        "nothing": b"",
    }


def test_a_serving_form_that_cannot_be_sound_is_refused(files: dict[str, bytes], publish: Publish) -> None:
    for content in damaged(files[bundles.SERVING]).values():
        bundle = publish({**files, bundles.SERVING: content})
        with pytest.raises(ArtifactError, match=rf"{bundle.version}: serving\.npz is refused"):
            bundles.load_serving(bundle)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_any_file_is_seen(files: dict[str, bytes], tmp_path: Path, data: st.DataObject) -> None:
    """Every region: the manifest, headers and data of the arrays, the skops files, the readable ones."""
    store = ArtifactStore(tmp_path)
    bundle = store.publish(files, {**SAID, "libraries": bundles.versions()})
    name = data.draw(st.sampled_from([MANIFEST, *files]))
    path = bundle.folder / name
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    flipped = content[:at] + bytes([content[at] ^ data.draw(st.integers(1, 255))]) + content[at + 1 :]
    path.write_bytes(data.draw(st.sampled_from([flipped, content[:at], content + b"\0"])))
    with pytest.raises(ArtifactError, match=bundle.version):
        store.open(bundle.version, bundle.sha256).read(name)
    path.write_bytes(content)
