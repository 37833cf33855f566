"""The archive over HTTP and in a folder: bytes as they are, None where there is no file."""

from pathlib import Path

import pytest

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import ConfigurationError, MalformedResponseError, SourceUnavailableError
from crypto_platform.sources import transport
from crypto_platform.sources.archive import ArchiveFolder, ArchiveHost

PATH = "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-01.zip"


def test_a_file_comes_as_it_is_and_with_its_provenance(server, patience, answer):
    server.script(answer(b"PK\x00\xff", headers={"X-Market-Data": "recorded"}))
    assert ArchiveHost(server.url, patience).read(PATH) == (b"PK\x00\xff", Provenance.RECORDED)
    assert server.asked[0].path == f"/{PATH}"


def test_a_missing_file_is_none(server, patience, answer, waits):
    server.script(answer(b"<Error><Code>NoSuchKey</Code></Error>", 404))
    assert ArchiveHost(server.url, patience).read(PATH) is None
    assert waits == []


def test_a_passing_failure_is_asked_again_and_a_lasting_one_named(server, patience, answer):
    server.script(answer(b"", 503), answer(b"x"))
    assert ArchiveHost(server.url, patience).read(PATH) == (b"x", Provenance.LIVE)
    server.script(answer(b"", 503))
    with pytest.raises(SourceUnavailableError, match=r"Binance's archive .*CRYPTO_PLATFORM_BINANCE_ARCHIVE_URL"):
        ArchiveHost(server.url, patience).read(PATH)


def test_a_file_is_bounded_and_no_redirect_is_followed(server, patience, answer, monkeypatch):
    monkeypatch.setattr(transport, "BYTE_CAP", 10)
    server.script(answer(b"x" * 11))
    with pytest.raises(MalformedResponseError, match="unreadably"):
        ArchiveHost(server.url, patience).read(PATH)
    server.script(answer(b"", 302, {"Location": "/elsewhere"}))
    with pytest.raises(MalformedResponseError, match="redirect"):
        ArchiveHost(server.url, patience).read(PATH)


@pytest.mark.parametrize("place", [PATH, Path(PATH).name])
def test_a_folder_is_a_mirror_or_all_files_side_by_side(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PK")
    assert ArchiveFolder(tmp_path).read(PATH) == (b"PK", Provenance.LIVE)
    assert ArchiveFolder(tmp_path).read(PATH + ".CHECKSUM") is None


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="gone is no folder"):
        ArchiveFolder(tmp_path / "gone")
