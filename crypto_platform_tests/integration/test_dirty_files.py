"""Two real files full of defects, repaired by rule, against the exchange's own candles of the same hours.

Each number is what the files hold: a rule that changes one of them must be argued anew.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crypto_platform.sources.base import Fetched
from crypto_platform.sources.files import ParsedFile, parse_file
from crypto_platform.symbols import Symbol

BTC = Symbol("BTC", "Bitcoin", "btc-bitcoin", "BTC", default=True)
END = datetime(2024, 1, 1, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]
BP = 1e4
# By Binance, after the file was written: prices and volume, volume alone.
RESTATED = {"2020-12-21 13:00", "2021-01-11 08:00", "2021-04-23 01:00"}
RESTATED_VOLUME = {"2020-10-27 06:00", "2021-01-21 09:00"}


@pytest.fixture(scope="module")
def read(recorded_data: Path) -> Callable[[str, str], ParsedFile]:
    def parse(name: str, source: str) -> ParsedFile:
        path = recorded_data / name
        return parse_file(path.read_bytes(), path.name, BTC, end=END, source=source)

    return parse


@pytest.fixture(scope="module")
def reference(recorded_data: Path) -> pd.DataFrame:
    return pd.read_parquet(recorded_data / "ohlcv_1h" / "BTC.parquet")


@pytest.fixture(scope="module")
def binance(read: Callable[[str, str], ParsedFile]) -> ParsedFile:
    return read("ohlcv_1h_dirty/BTC_CDD_BINANCE_raw.parquet", "binance")


@pytest.fixture(scope="module")
def gemini(read: Callable[[str, str], ParsedFile]) -> ParsedFile:
    return read("ohlcv_1h_dirty/BTC_GEMINI_raw.parquet", "gemini")


def reasons(parsed: ParsedFile) -> Counter[str]:
    return Counter(refused.reason for part in parsed.fetched for refused in part.rejected)


def compared(part: Fetched, reference: pd.DataFrame) -> pd.DataFrame:
    """Candles beside those of the reference; hours it does not have have NaN."""
    return part.rows.merge(reference, on="timestamp", how="left", suffixes=("", "_true"))


def deviation(both: pd.DataFrame, name: str) -> pd.Series:
    return (np.log(both[name] / both[f"{name}_true"]).abs() * BP).rename(name)


def test_every_row_is_stored_given_way_or_refused_by_name(binance: ParsedFile) -> None:
    assert [(part.vendor, len(part.rows)) for part in binance.fetched] == [
        ("binance", 11_765),
        ("cryptodatadownload", 25_263),
    ]
    assert reasons(binance) == {
        "close_contradicted_by_next_open": 296,
        "open_contradicted_by_close_before": 260,
        "filled_hour": 117,
        "perhaps_unfinished": 2,
        "unconfirmed_open": 1,
    }
    assert any("2648 rows gave way to another vintage" in note for note in binance.notes)
    assert binance.candles + binance.rejected + 2_648 == 40_352


def test_each_hour_is_there_once_and_none_that_the_exchange_was_closed(
    binance: ParsedFile, reference: pd.DataFrame
) -> None:
    stamps = pd.concat([part.rows["timestamp"] for part in binance.fetched])
    assert stamps.is_unique
    assert stamps.isin(reference["timestamp"]).all()
    lost = reference[(reference["timestamp"] <= stamps.max()) & ~reference["timestamp"].isin(stamps)]
    assert len(lost) == 4 + 558 + 7  # not in the file; contradicted or unconfirmed; without a trade in it


def test_candles_of_the_exchange_are_its_own_but_for_five_it_restated(
    binance: ParsedFile, reference: pd.DataFrame
) -> None:
    both = compared(binance.fetched[0], reference)
    hours = both["timestamp"].dt.strftime("%Y-%m-%d %H:%M")
    equal = (both[PRICES].to_numpy() == both[[f"{name}_true" for name in PRICES]].to_numpy()).all(axis=1)
    assert set(hours[~equal]) == RESTATED
    near = np.isclose(both["volume_base"], both["volume_base_true"], rtol=1e-9, atol=0)  # a spreadsheet's ten digits
    assert set(hours[~near]) == RESTATED | RESTATED_VOLUME


def test_derived_candles_are_near_the_exchanges_and_never_called_its_own(
    binance: ParsedFile, reference: pd.DataFrame
) -> None:
    """Closes are the exchange's in 99.7 %; opens cannot be: they are the closes before."""
    both = compared(binance.fetched[1], reference)
    apart = pd.concat([deviation(both, name) for name in PRICES], axis=1)
    assert (apart == 0).mean().round(3).to_dict() == {"open": 0.253, "high": 0.984, "low": 0.983, "close": 0.997}
    assert apart["open"].quantile(0.99) < 45
    assert apart[["high", "low", "close"]].quantile(0.999).max() < 45
    assert apart.max().max() < 300


def test_the_absurd_first_candle_is_refused(binance: ParsedFile) -> None:
    refused = [r for part in binance.fetched for r in part.rejected if r.reason == "unconfirmed_open"]
    assert len(refused) == 1
    assert "16199.91" in refused[0].payload
    assert min(part.rows["timestamp"].iloc[0] for part in binance.fetched) == pd.Timestamp("2017-08-17 05:00", tz="UTC")


def test_both_unfinished_candles_are_refused(binance: ParsedFile) -> None:
    refused = [r.payload for part in binance.fetched for r in part.rejected if r.reason == "perhaps_unfinished"]
    assert sum('"06-12-21", "time": "00:00:00"' in payload for payload in refused) == 1
    assert sum('"unix": "1605855600"' in payload for payload in refused) == 1  # 2020-11-20 07:00


def test_the_other_file_is_one_clock_in_two_units(gemini: ParsedFile) -> None:
    assert [(part.vendor, len(part.rows)) for part in gemini.fetched] == [("cryptodatadownload", 45_678)]
    assert reasons(gemini) == {
        "filled_hour": 120,
        "open_contradicted_by_close_before": 13,
        "close_contradicted_by_next_open": 9,
        "unconfirmed_open": 3,
        "non_positive_price": 1,
        "perhaps_unfinished": 1,
    }
    assert gemini.candles + gemini.rejected == 45_825
    assert (gemini.fetched[0].rows["volume_base"] == 0).sum() == 969  # of 1,109: a thin market's hours stay


def test_the_other_exchange_is_as_far_away_as_it_is(gemini: ParsedFile, reference: pd.DataFrame) -> None:
    """Median 17, 99th percentile 408, greatest 1,246 bp over all 29,424 hours that both have."""
    both = compared(gemini.fetched[0], reference).dropna(subset="close_true")
    apart = deviation(both, "close")
    assert len(both) == 29_291
    assert apart.median() == pytest.approx(17, abs=0.5)
    assert apart.quantile(0.99) == pytest.approx(408, abs=8)
    assert apart.max() == pytest.approx(1_246, abs=1)


@pytest.mark.parametrize("symbol", ["BTC", "LINK", "AVAX", "FTT", "BUSD"])
def test_clean_files_pass_whole_crashes_included(recorded_data: Path, symbol: str) -> None:
    """LINK has an hour with ln(high / low) of 10.33, FTT a hole of ten months, BUSD a price that hardly moves."""
    path = recorded_data / "ohlcv_1h" / f"{symbol}.parquet"
    frame = pd.read_parquet(path)
    whose = Symbol(symbol, symbol, None, symbol, default=True)
    csv = frame.rename(columns={"volume_quote": "Volume USDT", "volume_base": f"Volume {symbol}"})
    csv = csv.assign(timestamp=frame["timestamp"].astype("int64"), symbol=f"{symbol}/USDT")
    for content in (path.read_bytes(), csv.rename(columns={"timestamp": "unix"}).to_csv(index=False).encode()):
        parsed = parse_file(content, path.name, whose, end=END, source="binance", complete=True)
        halts = reasons(parsed)["filled_hour"]
        assert (
            parsed.rejected == halts <= 4
        )  # zero-volume hours at the edge of an outage, in the compiler's layout alone
        assert [part.vendor for part in parsed.fetched] == ["binance"]
        assert parsed.candles == len(frame) - halts
