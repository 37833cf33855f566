"""Binance's archive: which files there are, and that none is believed before it is what it should be."""

import hashlib
import zipfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import UnreadableFileError
from crypto_platform.sources.archive import ArchiveFile, next_month, parse_archive, plan, published_hash
from crypto_platform.symbols import Listing, Symbol

JANUARY = datetime(2020, 1, 1, tzinfo=UTC)
FILE = ArchiveFile("BTCUSDT", JANUARY, datetime(2020, 2, 1, tzinfo=UTC))
NOW = datetime(2020, 3, 4, 12, tzinfo=UTC)


def names(symbol: Symbol, start: datetime, end: datetime, now: datetime = NOW) -> list[str]:
    return [file.name for file in plan(symbol, start, end, now)]


def zipped(members: dict[str, str]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def rows(start: datetime = JANUARY, hours: int = 3) -> str:
    first = int(start.timestamp())
    opens = (first + 3600 * i for i in range(hours))
    return "".join(f"{opened}000,10,12,9,11,1,{opened + 3599}999,10,5,0,0,0\n" for opened in opens)


def parsed(content: bytes, **options: Any) -> Any:
    given = {"expected": hashlib.sha256(content).hexdigest(), "end": NOW, **options}
    return parse_archive(content, FILE, Symbol("BTC", "Bitcoin", None, "BTC", default=True), **given)


def test_whole_months_are_monthly_files_and_the_running_one_is_days_that_are_over(btc: Symbol) -> None:
    assert names(btc, JANUARY, datetime(2020, 4, 1, tzinfo=UTC)) == [
        "BTCUSDT-1h-2020-01.zip",
        "BTCUSDT-1h-2020-02.zip",
        "BTCUSDT-1h-2020-03-01.zip",
        "BTCUSDT-1h-2020-03-02.zip",
        "BTCUSDT-1h-2020-03-03.zip",
    ]


def test_no_file_is_asked_for_outside_the_months(btc: Symbol) -> None:
    assert names(btc, JANUARY, datetime(2020, 2, 1, tzinfo=UTC)) == ["BTCUSDT-1h-2020-01.zip"]
    assert names(btc, datetime(2021, 1, 1, tzinfo=UTC), datetime(2021, 4, 1, tzinfo=UTC)) == []


def test_files_of_a_year_cover_it_without_overlap(btc: Symbol) -> None:
    files = plan(btc, JANUARY, datetime(2021, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, tzinfo=UTC))
    assert [file.start for file in files[1:]] == [file.end for file in files[:-1]]
    assert (files[0].start, files[-1].end) == (JANUARY, datetime(2021, 1, 1, tzinfo=UTC))
    assert next_month(datetime(2020, 12, 1, tzinfo=UTC)) == datetime(2021, 1, 1, tzinfo=UTC)


SWAP = datetime(2020, 1, 12, 10, tzinfo=UTC)
# One OLD became 1000 NEW; a file of either covers January.
COIN = Symbol("COIN", "", None, "NEW", False, (Listing("OLD", until=SWAP, units=1000.0), Listing("NEW", since=SWAP)))


def test_files_are_of_the_market_that_the_symbol_was_listed_as() -> None:
    """One ticker is not one asset for ever: no file of NEW before the swap, none of OLD after it."""
    april = datetime(2020, 4, 1, tzinfo=UTC)
    assert names(COIN, datetime(2019, 12, 1, tzinfo=UTC), april, NOW - timedelta(days=2)) == [
        "OLDUSDT-1h-2019-12.zip",
        "OLDUSDT-1h-2020-01.zip",
        "NEWUSDT-1h-2020-01.zip",
        "NEWUSDT-1h-2020-02.zip",
        "NEWUSDT-1h-2020-03-01.zip",
    ]
    gone = Symbol("OLD", "", None, "OLD", False, (Listing("OLD", until=SWAP),))
    assert names(gone, JANUARY, april) == ["OLDUSDT-1h-2020-01.zip"]
    assert names(gone, datetime(2020, 2, 1, tzinfo=UTC), april) == []


@pytest.mark.parametrize(("market", "first", "hours", "price"), [("OLD", -3, 3, 0.01), ("NEW", 0, 4, 10.0)])
def test_a_file_gives_the_hours_of_its_listing_alone_in_coins_of_today(
    market: str, first: int, hours: int, price: float
) -> None:
    file = ArchiveFile(f"{market}USDT", FILE.start, FILE.end)
    content = zipped({f"{file.stem}.csv": rows(SWAP - timedelta(hours=3), 7)})
    found = parse_archive(content, file, COIN, expected=None, end=NOW).fetched[0].rows
    assert found["timestamp"].tolist() == [SWAP + timedelta(hours=first + i) for i in range(hours)]
    assert found["open"].tolist() == [price] * hours
    assert (found["volume_base"] * found["open"]).tolist() == pytest.approx([10.0] * hours)


def test_paths_are_those_of_the_host() -> None:
    assert FILE.path == "data/spot/monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2020-01.zip"
    day = next(FILE.days())
    assert day.path == "data/spot/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2020-01-01.zip"
    assert len(list(FILE.days())) == 31


def test_a_good_file_gives_its_candles() -> None:
    found = parsed(zipped({"BTCUSDT-1h-2020-01.csv": rows()}), provenance=Provenance.RECORDED)
    assert (found.candles, found.rejected, found.source) == (3, 0, "binance")
    assert found.span == (JANUARY, JANUARY + timedelta(hours=2))
    assert found.fetched[0].provenance is Provenance.RECORDED


def test_hours_of_another_month_and_of_the_future_are_left_out() -> None:
    content = zipped({"BTCUSDT-1h-2020-01.csv": rows() + rows(FILE.end) + rows(JANUARY - timedelta(hours=3))})
    assert parsed(content).candles == 3
    assert parsed(content, end=JANUARY + timedelta(hours=1)).candles == 1


GOOD = zipped({"BTCUSDT-1h-2020-01.csv": rows()})


@pytest.mark.parametrize(
    ("content", "options", "why"),
    [
        (GOOD, {"expected": "0" * 64}, "has SHA-256 [0-9a-f]{64}, its checksum file says 0{64}; get it again"),
        (GOOD[:-40], {}, "is damaged"),
        (b"<html>", {}, "is damaged"),
        (zipped({"BTCUSDT-1h-2020-01.csv": rows(), "more.csv": ""}), {}, "holds 2 files"),
        (zipped({"BTCUSDT-1h-2020-02.csv": rows()}), {}, "holds 'BTCUSDT-1h-2020-02.csv', not BTCUSDT-1h-2020-01.csv"),
        (zipped({"../BTCUSDT-1h-2020-01.csv": rows()}), {}, r"holds '\.\./BTCUSDT"),
        (zipped({"BTCUSDT-1h-2020-01.csv": rows(hours=300)}), {"cap": 1000}, "more than 1000 bytes"),
        (zipped({"BTCUSDT-1h-2020-01.csv": rows(FILE.end)}), {}, "holds no candle of 2020-01-01 to 2020-02-01"),
        (zipped({"BTCUSDT-1h-2020-01.csv": ""}), {}, "holds no rows"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused(content: bytes, options: dict[str, Any], why: str) -> None:
    with pytest.raises(UnreadableFileError, match=rf"^BTCUSDT-1h-2020-01\.zip.*{why}"):
        parsed(content, **options)


class Beside:
    """An archive that holds one text wherever it is asked."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def read(self, path: str) -> tuple[bytes, Provenance] | None:
        assert path == FILE.path + ".CHECKSUM"
        return None if self.text is None else (self.text.encode(), Provenance.LIVE)


def test_a_checksum_is_read_as_sha256sum_writes_it() -> None:
    assert published_hash(Beside(f"{'A' * 64}  {FILE.name}\n"), FILE) == "a" * 64
    assert published_hash(Beside(f"{'a' * 64} *{FILE.name}"), FILE) == "a" * 64
    assert published_hash(Beside(None), FILE) is None


@pytest.mark.parametrize("text", ["", "<html>", f"{'a' * 63}  {FILE.name}", f"{'a' * 64}  other.zip", "a" * 64])
def test_what_is_no_checksum_of_the_file_is_refused(text: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"\.CHECKSUM says .*, not a SHA-256 and BTCUSDT-1h-2020-01\.zip"):
        published_hash(Beside(text), FILE)
