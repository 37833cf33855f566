"""What a model bundle holds, and how models become bytes and back without pickle.

skops files are canonical here: object ids renumbered, dates fixed, so equal models are equal bytes.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

from crypto_platform.core.estimators import Fitted
from crypto_platform.core.signals import MODELS
from crypto_platform.errors import ArtifactError
from crypto_platform.storage.artifacts import Bundle

SCALING: Final = "scaling_params.json"
SCHEMA: Final = "schema.json"
# Types beyond skops' own that a bundle may contain. Fixed here, never read from the file.
TRUSTED: Final = ("sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor")
SIZE_LIMIT: Final = 64 * 1024 * 1024
EPOCH: Final = (1980, 1, 1, 0, 0, 0)


def versions() -> dict[str, str]:
    """Library versions a bundle depends on."""
    return {name: version(name) for name in ("numpy", "scikit-learn", "skops")}


def to_files(fitted: Fitted) -> dict[str, bytes]:
    """Files of a bundle: one skops file a model, and the readable scaling parameters."""
    import skops.io  # noqa: PLC0415

    files = {f"models/{name}.skops": canonical(skops.io.dumps(fitted.models[name])) for name in MODELS}
    scaling = {name: {"feature_names": list(fitted.feature_names), **values} for name, values in fitted.scaling.items()}
    files[SCALING] = json.dumps(scaling, indent=1, sort_keys=True).encode()
    return files


def load_models(bundle: Bundle) -> dict[str, Any]:
    """The fitted models of a bundle.

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
        if len(content) > SIZE_LIMIT:
            raise ArtifactError(f"bundle {bundle.version}: {name} has {len(content)} bytes, {SIZE_LIMIT} are allowed")
        try:
            models[name] = skops.io.loads(content, trusted=list(TRUSTED))
        except (UntrustedTypesFoundException, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactError(f"bundle {bundle.version}: {name} is refused ({type(error).__name__})") from error
    return models


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
