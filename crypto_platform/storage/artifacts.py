"""Immutable, content-addressed bundles of files: a reader sees a whole bundle or none."""

import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from crypto_platform.errors import ArtifactError

MANIFEST: Final = "manifest.json"
PRUNED: Final = "pruned.json"  # beside the manifest of a bundle whose files were removed
VERSION_DIGITS: Final = 16
FORMAT: Final = 1
MANIFEST_LIMIT: Final = 1024 * 1024  # bytes
FILE_LIMIT: Final = 64 * 1024 * 1024  # bytes of one file of a bundle


@dataclass(frozen=True, slots=True)
class Bundle:
    """A published bundle, its manifest verified.

    Attributes
    ----------
    version : str
        First `VERSION_DIGITS` hex digits of `sha256`.
    sha256 : str
        Of the manifest, which names the hash of every file.
    manifest : mapping
        What the publisher said of it, plus `files`.
    """

    folder: Path
    version: str
    sha256: str
    manifest: Mapping[str, Any]

    @property
    def pruned(self) -> bool:
        """Whether its files were removed, the manifest being all that is left."""
        return (self.folder / PRUNED).exists()

    def read(self, name: str) -> bytes:
        """Content of a file, its hash checked before anything looks into it.

        Raises
        ------
        ArtifactError
            Not in the bundle, gone, truncated or changed.
        """
        if self.pruned:
            raise ArtifactError(f"bundle {self.version} was pruned, its files are gone; train again")
        promised = self.manifest["files"].get(name)
        if promised is None:
            raise ArtifactError(f"bundle {self.version} has no file {name}")
        if promised["bytes"] > FILE_LIMIT:
            raise ArtifactError(f"bundle {self.version}: {name} has more than {FILE_LIMIT} bytes; it is refused")
        try:
            content = _read_at_most(self.folder / name, promised["bytes"])
        except OSError as error:
            raise ArtifactError(
                f"bundle {self.version}: {name} cannot be read ({error.strerror}); train again"
            ) from error
        if hashlib.sha256(content).hexdigest() != promised["sha256"]:
            raise ArtifactError(f"bundle {self.version}: {name} is not what was published; it is refused, train again")
        return content


class ArtifactStore:
    """Bundles under one folder, one directory each, named by content.

    Parameters
    ----------
    root : Path
        Created at the first publication.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, version: str) -> Path:
        """Directory of a bundle."""
        return self._root / "bundles" / version

    def publish(self, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> Bundle:
        """Write a bundle, or find that it is there already; one that is there but damaged or pruned is replaced.

        Parameters
        ----------
        files : mapping of str to bytes
            Relative names to contents.
        manifest : mapping
            JSON values; equal files and manifest give the equal version.

        Raises
        ------
        ArtifactError
            The folder cannot be written.
        """
        described = {
            **manifest,
            "format": FORMAT,
            "files": {
                name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for name, content in sorted(files.items())
            },
        }
        text = json.dumps(described, sort_keys=True, indent=1, allow_nan=False).encode()
        sha256 = hashlib.sha256(text).hexdigest()
        version = sha256[:VERSION_DIGITS]
        target = self.folder(version)
        contents = {**files, MANIFEST: text}
        if not _holds(target, contents):
            try:
                _write_aside(contents, target)
            except OSError as error:
                raise ArtifactError(
                    f"bundle {version} cannot be written to {target.parent} ({error.strerror}); "
                    "check CRYPTO_PLATFORM_ARTIFACTS_URL and the disk"
                ) from error
        return Bundle(target, version, sha256, described)

    def open(self, version: str, sha256: str) -> Bundle:
        """A published bundle.

        Parameters
        ----------
        version, sha256 : str
            As the registry has them.

        Raises
        ------
        ArtifactError
            Gone, changed, or of a format this version does not read.
        """
        folder = self.folder(version)
        try:
            text = _read_at_most(folder / MANIFEST, MANIFEST_LIMIT)
        except OSError as error:
            raise ArtifactError(f"bundle {version} is not at {folder} ({error.strerror}); train again") from error
        if hashlib.sha256(text).hexdigest() != sha256:
            raise ArtifactError(
                f"bundle {version}: its manifest is not what was registered; it is refused, train again"
            )
        manifest = json.loads(text)
        if manifest["format"] != FORMAT:
            raise ArtifactError(f"bundle {version} has format {manifest['format']}, this version reads {FORMAT}")
        return Bundle(folder, version, sha256, manifest)

    def prune(self, version: str, at: datetime) -> bool:
        """Remove a bundle's files, all but its manifest. False where there are none: it was done before.

        A mark is written first, so that a bundle without files is never taken for a damaged one.

        Raises
        ------
        ArtifactError
            The folder cannot be written.
        """
        folder = self.folder(version)
        try:
            rest = [path for path in folder.iterdir() if path.name not in {MANIFEST, PRUNED}] if folder.is_dir() else []
            if not rest:
                return False
            write_atomically(folder / PRUNED, json.dumps({"pruned_at": at.isoformat()}).encode())
            for path in rest:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError as error:
            raise ArtifactError(f"bundle {version} cannot be pruned in {folder} ({error.strerror})") from error
        return True


def _read_at_most(path: Path, n: int) -> bytes:
    """Content of a plain file, one byte more than `n` at most: a larger one is refused by its hash.

    Raises
    ------
    OSError
        Gone, not to be read, or no plain file: opening a pipe would wait for ever.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a plain file")
    with path.open("rb") as file:
        return file.read(n + 1)


def write_atomically(target: Path, content: bytes) -> None:
    """Write a single file so that a reader sees the old or the new one, never half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(file.name).chmod(0o644)
    Path(file.name).replace(target)


def _holds(folder: Path, contents: Mapping[str, bytes]) -> bool:
    """Whether a bundle's folder has these files, to the last byte."""
    try:
        return not (folder / PRUNED).exists() and all(
            _read_at_most(folder / name, len(content)) == content for name, content in contents.items()
        )
    except OSError:
        return False


def _write_aside(files: Mapping[str, bytes], target: Path) -> None:
    """Write all files into a directory beside `target`, flush them to disk, and rename it there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=".new-"))
    damaged = aside.with_name(f"{aside.name}.old")
    try:
        for name, content in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        aside.chmod(0o755)
        if target.exists() and not _holds(target, files):
            target.rename(damaged)
        aside.rename(target)
    except OSError:
        if not _holds(target, files):  # else a concurrent publisher of the same content was first: the same bundle
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(damaged, ignore_errors=True)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
