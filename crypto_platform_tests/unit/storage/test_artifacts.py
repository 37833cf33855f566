"""Laws of bundles: published whole, named by content, refused where anything changed."""

import threading
from pathlib import Path

import pytest

from crypto_platform.errors import ArtifactError
from crypto_platform.storage.artifacts import MANIFEST, ArtifactStore, Bundle, write_atomically

FILES = {"models/a.skops": b"first", "notes.json": b"{}"}
SAID = {"symbol": "BTC", "horizon": 1}


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def bundle(artifacts: ArtifactStore) -> Bundle:
    return artifacts.publish(FILES, SAID)


def test_what_is_published_can_be_read(artifacts: ArtifactStore, bundle: Bundle) -> None:
    opened = artifacts.open(bundle.version, bundle.sha256)
    assert {name: opened.read(name) for name in FILES} == FILES
    assert opened.manifest["symbol"] == "BTC"
    assert bundle.sha256.startswith(bundle.version)


def test_publishing_twice_is_one_bundle(artifacts: ArtifactStore, bundle: Bundle) -> None:
    before = {path: path.stat().st_mtime_ns for path in bundle.folder.rglob("*")}
    again = artifacts.publish(dict(reversed(FILES.items())), dict(reversed(SAID.items())))
    assert (again.version, again.sha256) == (bundle.version, bundle.sha256)
    assert {path: path.stat().st_mtime_ns for path in bundle.folder.rglob("*")} == before


@pytest.mark.parametrize(
    ("files", "said"),
    [({**FILES, "notes.json": b"[]"}, SAID), ({**FILES, "more": b""}, SAID), (FILES, {**SAID, "horizon": 3})],
)
def test_other_content_is_another_version(artifacts: ArtifactStore, bundle: Bundle, files: dict, said: dict) -> None:  # type: ignore[type-arg]
    assert artifacts.publish(files, said).version != bundle.version


@pytest.mark.parametrize("content", [b"", b"firs", b"First", b"first "])
def test_a_changed_or_truncated_file_is_refused(artifacts: ArtifactStore, bundle: Bundle, content: bytes) -> None:
    (bundle.folder / "models/a.skops").write_bytes(content)
    opened = artifacts.open(bundle.version, bundle.sha256)
    with pytest.raises(ArtifactError, match=rf"{bundle.version}: models/a\.skops is not what was published"):
        opened.read("models/a.skops")
    assert opened.read("notes.json") == b"{}"


def test_swapped_files_are_refused(artifacts: ArtifactStore, bundle: Bundle) -> None:
    other = artifacts.publish({**FILES, "models/a.skops": b"other"}, SAID)
    (other.folder / "models/a.skops").replace(bundle.folder / "models/a.skops")
    with pytest.raises(ArtifactError, match="not what was published"):
        artifacts.open(bundle.version, bundle.sha256).read("models/a.skops")


def test_a_swapped_manifest_is_refused_by_the_registrys_hash(artifacts: ArtifactStore, bundle: Bundle) -> None:
    other = artifacts.publish(FILES, {**SAID, "horizon": 3})
    (bundle.folder / MANIFEST).write_bytes((other.folder / MANIFEST).read_bytes())
    with pytest.raises(ArtifactError, match="manifest is not what was registered"):
        artifacts.open(bundle.version, bundle.sha256)


def test_what_is_gone_or_was_never_there_is_said_so(artifacts: ArtifactStore, bundle: Bundle) -> None:
    (bundle.folder / "notes.json").unlink()
    opened = artifacts.open(bundle.version, bundle.sha256)
    with pytest.raises(ArtifactError, match=r"notes\.json cannot be read .*train again"):
        opened.read("notes.json")
    with pytest.raises(ArtifactError, match="has no file models/b"):
        opened.read("models/b")
    with pytest.raises(ArtifactError, match="has no file"):
        opened.read("../../elsewhere")
    with pytest.raises(ArtifactError, match=r"bundle 0123 is not at .*train again"):
        artifacts.open("0123", "0" * 64)


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ArtifactError, match="CRYPTO_PLATFORM_ARTIFACTS_URL"):
        ArtifactStore(tmp_path / "file").publish(FILES, SAID)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_publishing_leaves_no_rests_and_survives_company(artifacts: ArtifactStore, tmp_path: Path) -> None:
    versions: list[str] = []
    threads = [
        threading.Thread(target=lambda: versions.append(artifacts.publish(FILES, SAID).version)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(versions) == 8
    assert [path.name for path in (tmp_path / "artifacts" / "bundles").iterdir()] == list(set(versions))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "report.html"
    for content in (b"old", b"new"):
        write_atomically(target, content)
        assert target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]
