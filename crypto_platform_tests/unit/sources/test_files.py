"""Candle files: whatever the layout, unit, order, header or wrapping, the same candles come out, or one sentence."""

import gzip
import json
import math
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto_platform.core.bars import CANDLE_COLUMNS
from crypto_platform.errors import ConfigurationError, UnreadableFileError
from crypto_platform.sources.files import ParsedFile, parse_file
from crypto_platform.symbols import Listing, Symbol

BTC = Symbol("BTC", "Bitcoin", "btc-bitcoin", "BTC", default=True)
END = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = 1_577_836_800  # 2020-01-01
UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000}


def parse(content: bytes | str, **options: Any) -> ParsedFile:
    body = content.encode() if isinstance(content, str) else content
    given: dict[str, Any] = {"end": END, "source": "binance", "complete": True}
    return parse_file(body, "f", BTC, **{**given, **options})


def candles(parsed: ParsedFile) -> pd.DataFrame:
    assert len(parsed.fetched) == 1
    return parsed.fetched[0].rows


def reasons(parsed: ParsedFile) -> list[str]:
    return [refused.reason for part in parsed.fetched for refused in part.rejected]


def seconds(parsed: ParsedFile) -> list[int]:
    return [int(stamp.timestamp()) for stamp in candles(parsed)["timestamp"]]


def text(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


def kline(opened: int, price: float = 10.0) -> str:
    return f"{opened},{price},{price + 2},{price - 1},{price + 1},3.5,{opened + 1},35.0,7,1.0,10.0,0"


# --- layouts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_second", UNITS.values())
def test_klines_need_no_header_and_any_unit_is_told_by_its_size(per_second: int) -> None:
    parsed = parse(text(kline(EPOCH * per_second), kline((EPOCH + 3600) * per_second)), source=None)
    assert parsed.source == "binance"
    assert seconds(parsed) == [EPOCH, EPOCH + 3600]
    assert candles(parsed).iloc[0, 1:].tolist() == [10, 12, 9, 11, 3.5, 35, 7]


def test_units_may_change_from_row_to_row() -> None:
    rows = [kline((EPOCH + 3600 * i) * unit) for i, unit in enumerate((1, 1_000, 1_000_000, 1))]
    assert seconds(parse(text(*rows))) == [EPOCH + 3600 * i for i in range(4)]


def test_klines_with_a_header_are_read_by_their_names() -> None:
    header = (
        "open_time,open,high,low,close,volume,close_time,quote_asset_volume,number_of_trades,"
        "taker_buy_base,taker_buy_quote,ignore"
    )
    assert candles(parse(text(header, kline(EPOCH)))).iloc[0, 1:].tolist() == [10, 12, 9, 11, 3.5, 35, 7]


def test_cryptodatadownload_is_newest_first_under_a_line_with_its_address() -> None:
    parsed = parse(
        text(
            "https://www.CryptoDataDownload.com",
            "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount",
            f"{EPOCH + 3600}000,2020-01-01 01:00:00,BTC/USDT,11,12,10,11.5,2,23,9",
            f"{EPOCH}000,2020-01-01 00:00:00,BTC/USDT,10,12,9,10.5,1,10.5,NULL",
        ),
        source=None,
    )
    assert parsed.source == "cryptodatadownload"
    rows = candles(parsed)
    assert rows["close"].tolist() == [10.5, 11.5]
    assert rows["volume"].tolist() == [10.5, 23]
    assert math.isnan(rows["trades"][0])
    assert rows["trades"][1] == 9


@pytest.mark.parametrize(
    ("date", "time"),
    [("01-02-20", "13:00:00"), ("2020-02-01", "01-PM"), ("01/02/2020", "13:00"), ("01.02.20", "1:00 PM")],
)
def test_dates_are_read_in_the_order_in_which_hours_follow_one_another(date: str, time: str) -> None:
    """The 30th and 31st of a January tell day from month, and a year of 20 from a day of 20."""
    days = [date.replace("01", "31", 1).replace("02", "01", 1), date]
    if date.startswith("2020"):
        days = ["2020-01-31", date]
    late = {"13:00:00": "23:00:00", "01-PM": "11-PM", "13:00": "23:00", "1:00 PM": "11:00 PM"}[time]
    early = {"13:00:00": "00:00:00", "01-PM": "12-AM", "13:00": "00:00", "1:00 PM": "12:00 AM"}[time]
    rows = [f"{days[0]} {late},BTCUSDT,10,12,9,11,1,10", f"{days[1]} {early},BTCUSDT,10,12,9,11,1,10"]
    parsed = parse(text("Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT", *rows))
    assert seconds(parsed) == [1_580_511_600, 1_580_515_200]
    assert any("UTC" in note for note in parsed.notes)


def test_a_date_that_can_be_read_in_two_orders_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match=r"can be read by .*%d-%m-%y.* or .*alike; write its times as"):
        parse(text("Date,Symbol,Open,High,Low,Close,Volume", "01-02-20 13:00,BTCUSD,10,12,9,11,1"))


def test_freqtrade_json_is_rows_without_names() -> None:
    parsed = parse(json.dumps([[(EPOCH + 3600) * 1000, 11, 12, 10, 11, 2], [EPOCH * 1000, 10, 12, 9, 10.5, 1]]))
    assert candles(parsed)["close"].tolist() == [10.5, 11]


def test_rows_that_are_objects_are_read_by_their_names() -> None:
    row = {
        "datetime": "2020-01-01T00:00:00Z",
        "open": 10,
        "high": 12,
        "low": 9,
        "close": 11,
        "volume": 1,
        "ticker": "BTC",
    }
    assert seconds(parse(json.dumps([row]))) == [EPOCH]


@pytest.mark.parametrize("name", ["timestamp", "date", "time", "datetime", "open_time", "Date"])
@pytest.mark.parametrize(
    "stamp", [str(EPOCH), f"{EPOCH}000", f"{EPOCH}000000", "2020-01-01T00:00:00Z", "2020-01-01 02:00:00+02:00"]
)
def test_any_other_file_with_a_time_prices_and_a_volume_is_read(name: str, stamp: str) -> None:
    parsed = parse(text(f"{name},Open,High,Low,Close,Volume", f"{stamp},10,12,9,11,1"))
    assert seconds(parsed) == [EPOCH]
    assert not any("UTC" in note for note in parsed.notes)


def test_a_time_without_a_zone_is_utc_and_that_is_said() -> None:
    parsed = parse(text("date;open;high;low;close;volume", "2020-01-01 00:00:00;10;12;9;11;1"))
    assert seconds(parsed) == [EPOCH]
    assert "times without a zone were taken as UTC" in parsed.notes


def test_an_instant_without_a_zone_in_arrow_is_utc_and_that_is_said() -> None:
    frame = pd.DataFrame({"date": pd.to_datetime(["2020-01-01"]), "open": 9.0, "high": 9.0, "low": 9.0, "close": 9.0})
    parsed = parse(parquet(frame.assign(volume=1.0)))
    assert seconds(parsed) == [EPOCH]
    assert "times without a zone were taken as UTC" in parsed.notes


def test_an_unknown_layout_is_refused_with_what_was_found_and_what_is_known() -> None:
    with pytest.raises(UnreadableFileError, match=r"^f has when, price; known layouts are .*Binance klines.*freqtrade"):
        parse(text("when,price", "2020-01-01,10"))
    with pytest.raises(UnreadableFileError, match="f has 3 columns without names"):
        parse(text("1,2,3"))


@pytest.mark.parametrize("market", ["ETH/USDT", "BTCDOWNUSDT", "BTC-EUR", "BTCST", "WBTCUSD", "BTC/USDT/USDT", "nan"])
def test_a_file_of_another_market_is_refused(market: str) -> None:
    with pytest.raises(UnreadableFileError, match=f"{market.upper()!r}, not of BTC in USD or USDT"):
        parse(text("unix,symbol,open,high,low,close,Volume ETH", f"{EPOCH},{market},10,12,9,11,1"))


@pytest.mark.parametrize("market", ["BTC", "BTCUSDT", "btc-usd", "BTC/USDT", "BTC_USD"])
def test_a_market_may_be_written_in_any_usual_way(market: str) -> None:
    assert seconds(parse(text("unix,pair,open,high,low,close,Volume", f"{EPOCH},{market},10,12,9,11,1"))) == [EPOCH]


SWAP = datetime(2020, 1, 1, 2, tzinfo=UTC)
# One OLD became 1000 coins of COIN; another asset took the name OLD then.
LISTINGS = (Listing("OLD", until=SWAP, units=1000.0), Listing("COIN", since=SWAP))
COIN = Symbol("COIN", "", None, "COIN", False, LISTINGS)


@pytest.mark.parametrize(
    ("header", "ticker", "closes"),
    [
        ("unix,symbol,open,high,low,close,Volume", ",OLD/USDT", [0.01, 0.01]),
        ("unix,symbol,open,high,low,close,Volume", ",COIN/USDT", [10.0, 10.0]),
        ("unix,open,high,low,close,volume", "", [0.01, 0.01, 10.0, 10.0]),
        ("timestamp,open,high,low,close,volume_base,volume_quote", "", [10.0, 10.0, 10.0, 10.0]),
    ],
)
def test_a_file_gives_the_hours_of_the_symbols_listings_alone_in_coins_of_today(
    header: str, ticker: str, closes: list[float]
) -> None:
    """One ticker is not one asset for ever: what OLD is after the swap is not COIN's."""
    own = ",10" if header.endswith("quote") else ""
    content = text(header, *(f"{EPOCH + 3600 * i}{ticker},10,12,9,10,{i + 1}{own}" for i in range(4)))
    parsed = parse_file(content.encode(), "f", COIN, end=END, source="binance", complete=True)
    assert candles(parsed)["close"].tolist() == closes
    left_out = f"{4 - len(closes)} rows lie outside the listings of COIN and were left out"
    assert (left_out in parsed.notes) == (len(closes) < 4)


def test_a_file_that_does_not_say_whose_candles_it_holds_must_be_told() -> None:
    with pytest.raises(ConfigurationError, match="--source"):
        parse(text("date,open,high,low,close,volume", "2020-01-01,10,12,9,11,1"), source=None)


def test_minutes_are_no_hourly_candles() -> None:
    with pytest.raises(UnreadableFileError, match="no hourly clock in date"):
        parse(text("date,open,high,low,close,volume", "2020-01-01 00:01,10,12,9,11,1"))


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(1, "0:01:00"), (15, "0:15:00"), (240, "4:00:00"), (1440, "1 day, 0:00:00"), (10080, "7 days, 0:00:00")],
)
@pytest.mark.parametrize("row", [kline, lambda opened: f"{opened},10,12,9,11,1"], ids=["klines", "freqtrade"])
def test_candles_of_another_length_are_refused_though_they_open_on_the_hour(row: Any, minutes: int, said: str) -> None:
    rows = [row(EPOCH + 60 * minutes * i) for i in range(130) if i % 7]
    with pytest.raises(UnreadableFileError, match=f"candles of {said} .*only candles of one hour"):
        parse(text(*rows))


def test_hours_with_gaps_between_them_are_hours() -> None:
    held = [0, 1, 2, 50, 51, 99, 100, 200, 202, 203]
    assert seconds(parse(text(*(kline(EPOCH + 3600 * i) for i in held)))) == [EPOCH + 3600 * i for i in held]


@pytest.mark.parametrize("closed", [str(EPOCH + 86_399), f"{EPOCH}000000", "2020-01-01T23:59:59Z"])
def test_a_kline_that_closes_outside_its_hour_is_refused(closed: str) -> None:
    rows = [kline(EPOCH), kline(EPOCH + 3600).replace(f",{EPOCH + 3601},", f",{closed},")]
    parsed = parse(text(*rows))
    assert seconds(parsed) == [EPOCH]
    assert reasons(parsed) == ["not_an_hour"]


# --- rows --------------------------------------------------------------------------------------------------------

GENERIC = "timestamp,open,high,low,close,volume"


def test_the_newest_candle_of_a_file_may_be_unfinished() -> None:
    rows = [f"{EPOCH},10,12,9,11,1", f"{EPOCH + 3600},10,12,9,11,1"]
    parsed = parse(text(GENERIC, *rows), complete=False)
    assert seconds(parsed) == [EPOCH]
    assert reasons(parsed) == ["perhaps_unfinished"]
    assert seconds(parse(text(GENERIC, *rows))) == [EPOCH, EPOCH + 3600]
    assert len(seconds(parse(text(kline(EPOCH)), complete=False))) == 1


def test_contradicting_rows_of_an_hour_are_all_refused_and_equal_ones_collapse() -> None:
    a, b, c = f"{EPOCH},10,12,9,11,1", f"{EPOCH},10,12,9,11.5,1", f"{EPOCH + 3600},10,12,9,11,1"
    parsed = parse(text(GENERIC, a, b, c, c))
    assert seconds(parsed) == [EPOCH + 3600]
    assert reasons(parsed) == ["contradictory"] * 2


def test_rows_that_cannot_be_read_or_are_unsound_are_refused_one_by_one() -> None:
    rows = [f"{EPOCH + 3600 * i},10,12,9,{close},1" for i, close in enumerate(("11", "x", "13", "-1", "", "11"))]
    parsed = parse(text(GENERIC, *rows, "soon,1,1,1,1,1"))
    assert seconds(parsed) == [EPOCH, EPOCH + 5 * 3600]
    assert sorted(reasons(parsed)) == [
        "close_outside_range",
        "malformed",
        "malformed",
        "malformed",
        "non_positive_price",
    ]


def test_hours_that_are_not_closed_are_left_out() -> None:
    end = datetime.fromtimestamp(EPOCH + 3600, UTC)
    assert seconds(parse(text(GENERIC, f"{EPOCH},10,12,9,11,1", f"{EPOCH + 3600},10,12,9,11,1"), end=end)) == [EPOCH]


def cdd(hours: Sequence[int], *, close: Sequence[float], opened: Sequence[float], trades: str, stamp: Any) -> list[str]:
    return [
        f"{stamp(EPOCH + 3600 * hour)},{o},{max(o, c) + 1},{min(o, c) - 1},{c},5,50,{trades}"
        for hour, o, c in zip(hours, opened, close, strict=True)
    ]


CDD = "unix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount"


def spreadsheet(epoch: int) -> str:
    return f"{epoch * 1000:.5E},{datetime.fromtimestamp(epoch, UTC):%d-%m-%y %H:%M},BTC/USDT"


def twelve_hours(epoch: int) -> str:
    return f"{epoch},{datetime.fromtimestamp(epoch, UTC):%d-%m-%y %I:%M},BTC/USDT"


def two_vintages() -> str:
    """The newer without usable stamps (hours 60 to 119), the older without AM and PM (0 to 79), interleaved."""
    rng = np.random.default_rng(5)
    close = (100 + rng.normal(0, 1, 120)).round(2)
    carried = [500.0, *close[:79]]
    newer = cdd(range(60, 120), close=close[60:], opened=close[60:] - 0.5, trades="17", stamp=spreadsheet)
    older = cdd(range(80), close=close[:80], opened=carried, trades="NULL", stamp=twelve_hours)
    older[0] = f"{twelve_hours(EPOCH)},500,500,{close[0] - 1},{close[0]},5,50,NULL"
    return text(CDD, *sorted(newer + older, key=lambda row: row[::-1]))


def test_two_vintages_are_told_apart_and_each_read_by_its_own_clock() -> None:
    parsed = parse(two_vintages(), complete=True)
    assert [(part.vendor, len(part.rows)) for part in parsed.fetched] == [("binance", 60), ("cryptodatadownload", 59)]
    hours = [[(stamp.timestamp() - EPOCH) / 3600 for stamp in part.rows["timestamp"]] for part in parsed.fetched]
    assert hours == [list(range(60, 120)), list(range(1, 60))]
    assert (parsed.fetched[0].rows["open"] == parsed.fetched[0].rows["close"] - 0.5).all()
    assert reasons(parsed) == ["unconfirmed_open"]
    assert any("20 rows gave way" in note for note in parsed.notes)


def test_the_newest_row_of_each_vintage_may_be_unfinished() -> None:
    parsed = parse(two_vintages(), complete=False)
    assert sorted(reasons(parsed)) == ["perhaps_unfinished", "perhaps_unfinished", "unconfirmed_open"]


# --- wrapping ----------------------------------------------------------------------------------------------------


def zipped(**members: bytes) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer)
    return buffer.getvalue()


def feather(frame: pd.DataFrame) -> bytes:
    buffer = BytesIO()
    table = pa.Table.from_pandas(frame, preserve_index=False)
    options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
    with pyarrow.ipc.new_file(buffer, table.schema, options=options) as writer:
        writer.write_table(table)
    return buffer.getvalue()


ROW = text(GENERIC, f"{EPOCH},10,12,9,11,1").encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zipped(a=ROW, b=ROW), "holds 2 files; a zip of candles holds one"),
        (zipped(), "holds 0 files"),
        (zipped(a=ROW)[:-30], "is damaged"),
        (zipped(a=ROW).replace(b"\xcb", b"\x00", 1), "is damaged"),
        (gzip.compress(ROW, mtime=0)[:-9], "is damaged"),
        (parquet(pd.DataFrame({"a": [1.0]}))[:-20], "is damaged"),
        (b"ARROW1\0\0" + b"x" * 50, "is damaged"),
        (b"[[1,2", "begins as JSON and is none"),
        (b'{"a": 1}', "is JSON, but no list of rows"),
        (b"\xff\xfe\x00x,y", "no text of comma-separated values"),
        (b"", "holds no rows"),
        (GENERIC.encode(), "holds no rows"),
        (b"[]", "holds no rows"),
    ],
)
def test_damaged_files_are_refused_in_a_sentence(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableFileError, match=why):
        parse(content)


@pytest.mark.parametrize("wrap", [lambda body: zipped(a=body), gzip.compress])
def test_a_bomb_is_not_unpacked(wrap: Any) -> None:
    with pytest.raises(UnreadableFileError, match="would unpack to more than 1000 bytes"):
        parse(wrap(b"1,2,3,4,5,6\n" * 1000), cap=1000)


@pytest.mark.parametrize("write", [parquet, feather])
def test_a_bomb_of_columns_is_not_unpacked(write: Any) -> None:
    with pytest.raises(UnreadableFileError, match="would unpack to more than 1000 bytes"):
        parse(write(pd.DataFrame({"a": np.zeros(100_000)})), cap=1000)


# --- round trip --------------------------------------------------------------------------------------------------


def random_candles(rng: np.random.Generator, hours: int) -> pd.DataFrame:
    """Sound candles with gaps rarer than hours, in any part of time, over many orders of magnitude."""
    first = int(rng.integers(400_000, 480_000))  # hours since 1970
    steps = np.ones(hours, dtype=int)
    steps[::3] = rng.choice([1, 2, 30], len(steps[::3]))
    at = first + np.cumsum(steps)
    prices = np.sort(np.exp(rng.normal(rng.uniform(-12, 12), 0.1, (hours, 4))), axis=1)
    swap = rng.random(hours) < 0.5
    volume = np.where(rng.random(hours) < 0.1, 0.0, np.exp(rng.normal(3, 4, hours)))
    return pd.DataFrame(
        {
            "timestamp": pd.to_datetime(at * 3600, unit="s", utc=True).astype("datetime64[us, UTC]"),
            "open": np.where(swap, prices[:, 1], prices[:, 2]),
            "high": prices[:, 3],
            "low": prices[:, 0],
            "close": np.where(swap, prices[:, 2], prices[:, 1]),
            "volume_base": volume,
            "volume": np.where(rng.random(hours) < 0.1, np.nan, volume * prices[:, 1]),
            "trades": np.where(rng.random(hours) < 0.1, np.nan, rng.integers(0, 9_999, hours)),
        }
    )


def stamps(frame: pd.DataFrame, unit: str) -> Any:
    if unit == "iso":
        return frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    if unit == "zone":
        return frame["timestamp"].dt.tz_convert("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M:%S%z")
    if unit == "naive":
        return frame["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S")
    return frame["timestamp"].astype("int64") // (1_000_000 // UNITS[unit])


def written(frame: pd.DataFrame, layout: str, unit: str, *, header: bool, delimiter: str) -> tuple[bytes, set[str]]:
    """The frame in a layout, and the columns that it has no place for."""
    prices = frame[["open", "high", "low", "close"]]
    at = stamps(frame, unit)
    if layout == "klines":
        epochs = stamps(frame, unit if unit in UNITS else "ms")
        table = pd.concat([epochs, prices, frame["volume_base"], epochs + 1, frame[["volume", "trades"]]], axis=1)
        table.columns = ["open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count"]
        table = table.assign(a=1.0, b=2.0, ignore=0)
        return table.to_csv(index=False, header=header, sep=delimiter).encode(), set()
    if layout == "own":
        table = frame.drop(columns="trades").rename(columns={"volume": "volume_quote"})
        return parquet(table.assign(timestamp=frame["timestamp"].astype("datetime64[ms, UTC]"))), {"trades"}
    if layout == "cdd":
        table = pd.DataFrame({"unix": stamps(frame, "ms"), "date": stamps(frame, "naive"), "symbol": "BTC/USDT"})
        table = pd.concat([table, prices, frame[["volume_base", "volume"]]], axis=1)
        table.columns = [*table.columns[:7], "Volume BTC", "Volume USDT"]
        body = table.to_csv(index=False, sep=delimiter)
        return (f"https://www.CryptoDataDownload.com\n{body}" if header else body).encode(), {"trades"}
    table = pd.concat([at.rename("date"), prices, frame["volume_base"].rename("volume")], axis=1)
    if layout == "json":
        rows = table.assign(date=stamps(frame, unit if unit in UNITS else "ms"))
        return json.dumps(rows.astype(object).to_numpy().tolist()).encode(), {"volume", "trades"}
    if layout == "feather":
        return feather(table.assign(date=frame["timestamp"])), {"volume", "trades"}
    return table.to_csv(index=False, sep=delimiter).encode(), {"volume", "trades"}


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    hours=st.integers(2, 90),
    layout=st.sampled_from(["klines", "own", "cdd", "json", "feather", "csv"]),
    unit=st.sampled_from(["s", "ms", "us", "iso", "zone", "naive"]),
    header=st.booleans(),
    delimiter=st.sampled_from(",;\t"),
    wrap=st.sampled_from([bytes, gzip.compress, lambda body: zipped(a=body)]),
    order=st.sampled_from(["oldest first", "newest first", "shuffled"]),
)
def test_candles_read_back_as_they_were_written(
    seed: int, hours: int, layout: str, unit: str, header: bool, delimiter: str, wrap: Any, order: str
) -> None:
    rng = np.random.default_rng(seed)
    frame = random_candles(rng, hours)
    arranged = {"oldest first": frame, "newest first": frame[::-1], "shuffled": frame.sample(frac=1, random_state=seed)}
    content, lost = written(arranged[order].reset_index(drop=True), layout, unit, header=header, delimiter=delimiter)
    parsed = parse(wrap(content), complete=True)
    expected = frame.assign(**dict.fromkeys(lost, np.nan))[list(CANDLE_COLUMNS)]
    assert reasons(parsed) == []
    got = pd.concat([part.rows for part in parsed.fetched]).sort_values("timestamp", ignore_index=True)
    pd.testing.assert_frame_equal(got, expected, check_exact=True)
