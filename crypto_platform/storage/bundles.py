"""What a model bundle holds, and how models become bytes and back without pickle.

Beside a skops file a model, to verify, explain or fit again, there is one `.npz` with all models as plain arrays: the
serving form, which alone is read to forecast. skops files are canonical here: object ids renumbered, dates fixed, so
equal models are equal bytes.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core import calibration, estimators, serving
from crypto_platform.core.estimators import Fitted
from crypto_platform.core.serving import ServingForm
from crypto_platform.core.signals import MODELS
from crypto_platform.errors import ArtifactError
from crypto_platform.storage import npz
from crypto_platform.storage.artifacts import Bundle
from crypto_platform.storage.npz import EPOCH

SCALING: Final = "scaling_params.json"
SERVING: Final = "serving.npz"
SERVING_FORMAT: Final = "serving_format"  # key of the manifest
SCHEMA: Final = "schema.json"
# Types beyond skops' own that a bundle may contain. Fixed here, never read from the file.
TRUSTED: Final = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")


def versions() -> dict[str, str]:
    """Library versions a bundle depends on."""
    return {name: version(name) for name in ("numpy", "scikit-learn", "skops")}


def to_files(fitted: Fitted, inputs: NDArray[np.float64]) -> dict[str, bytes]:
    """Files of a bundle: one skops file a model, the serving form of all, and the readable scaling parameters.

    Parameters
    ----------
    fitted : Fitted
    inputs : array, shape (n, n_features)
        The training rows: the serving form, written and read again, must forecast them as scikit-learn does.

    Raises
    ------
    ArtifactError
        It does not, within `serving.TOLERANCE`: such a bundle must not be published.
    """
    import skops.io  # noqa: PLC0415

    files = {f"models/{name}.skops": canonical(skops.io.dumps(fitted.models[name])) for name in MODELS}
    arrays = serving.flatten(fitted.models)
    files[SERVING] = npz.write({**arrays, **serving.reference(arrays, inputs)})
    scaling = {name: {"feature_names": list(fitted.feature_names), **values} for name, values in fitted.scaling.items()}
    files[SCALING] = json.dumps(scaling, indent=1, sort_keys=True).encode()

    said = (fitted.feature_names, fitted.horizon)
    theirs = estimators.predict(fitted.models, inputs, *said)
    ours = serving.predict(_serving_form(files[SERVING], *said, {}), inputs)
    apart, name = serving.largest_difference(ours, theirs)
    if apart > serving.TOLERANCE:
        raise ArtifactError(
            f"the serving form of {name} is {apart:.1e} off scikit-learn {version('scikit-learn')} on its training "
            "rows; nothing is published: install the pinned versions, and train again"
        )
    return files


def load_serving(bundle: Bundle) -> ServingForm:
    """The models of a bundle as they serve: plain arrays, read without pickle, skops or scikit-learn.

    Raises
    ------
    ArtifactError
        The file is not what was published, of another format, or not what a serving form must be.
    """
    made = bundle.manifest.get(SERVING_FORMAT)
    if made != serving.FORMAT:
        raise ArtifactError(
            f"bundle {bundle.version} has serving format {made}, this version reads {serving.FORMAT}; train again"
        )
    try:
        said = (bundle.manifest["features"], bundle.manifest["horizon"], calibration.stored(bundle.manifest))
        return _serving_form(bundle.read(SERVING), *said)
    except (ValueError, KeyError) as error:
        raise ArtifactError(f"bundle {bundle.version}: {SERVING} is refused, {error}; train again") from error


def load_models(bundle: Bundle) -> dict[str, Any]:
    """The fitted models of a bundle, to verify, explain or fit again.

    Raises
    ------
    ArtifactError
        A file is not what was published, holds a type that is not allowed, or was made by another scikit-learn.
    """
    import skops.io  # noqa: PLC0415
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415

    made_by, ours = bundle.manifest["libraries"]["scikit-learn"], version("scikit-learn")
    if made_by.split(".")[:2] != ours.split(".")[:2]:
        raise ArtifactError(f"bundle {bundle.version} was made by scikit-learn {made_by}, this is {ours}; train again")
    models = {}
    for name in MODELS:
        content = bundle.read(f"models/{name}.skops")
        try:
            models[name] = skops.io.loads(content, trusted=list(TRUSTED))
        except (UntrustedTypesFoundException, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"bundle {bundle.version}: {name} is refused ({type(error).__name__})") from error
    return models


def prove(bundle: Bundle) -> None:
    """Compare both forms of a bundle: the serving form must be the skops files' models to the last bit.

    Raises
    ------
    ArtifactError
        As `load_serving` and `load_models`, or: the forms differ.
    """
    served, again = load_serving(bundle).arrays, serving.flatten(load_models(bundle))
    for name, array in again.items():
        if not np.array_equal(array, served[name]):
            raise ArtifactError(f"bundle {bundle.version}: {name} of {SERVING} is not what its skops file has")


def _serving_form(
    content: bytes, feature_names: Sequence[str], horizon: int, calibrators: Mapping[str, NDArray[np.float64]]
) -> ServingForm:
    layout = {**serving.LAYOUT, **serving.REFERENCE_LAYOUT}
    arrays = npz.read(content, layout, {serving.N_FEATURES: len(feature_names)})
    return serving.from_arrays(arrays, feature_names, horizon, calibrators)


def canonical(archive: bytes) -> bytes:
    """A skops archive with object ids renumbered in order of appearance and fixed dates, compressed.

    skops names objects by their memory address, so that two dumps of one model differ; the ids only need to be
    equal where the object is the same.
    """
    with zipfile.ZipFile(io.BytesIO(archive)) as source:
        contents = {name: source.read(name) for name in source.namelist()}
    schema = json.loads(contents.pop(SCHEMA))
    numbers: dict[int, int] = {}
    renamed = _renumber(schema, numbers)
    files = {_file_name(name, numbers): content for name, content in contents.items()}
    files[SCHEMA] = json.dumps(renamed, separators=(",", ":")).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, content)
    return target.getvalue()


def _renumber(node: Any, numbers: dict[int, int]) -> Any:
    if isinstance(node, list):
        return [_renumber(item, numbers) for item in node]
    if not isinstance(node, Mapping):
        return node
    out = {key: _renumber(value, numbers) for key, value in node.items() if key not in {"__id__", "file"}}
    if "__id__" in node:
        out["__id__"] = numbers.setdefault(node["__id__"], len(numbers) + 1)
    if "file" in node:
        out["file"] = _file_name(node["file"], numbers)
    return out


def _file_name(name: str, numbers: dict[int, int]) -> str:
    stem, dot, suffix = name.partition(".")
    return f"{numbers.setdefault(int(stem), len(numbers) + 1)}{dot}{suffix}" if stem.isdigit() else name
