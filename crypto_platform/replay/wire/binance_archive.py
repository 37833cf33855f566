"""Binance's bulk archive: ZIP files of klines by month and by day, each with its checksum."""

import hashlib
import io
import re
import zipfile
from calendar import MONDAY
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import pandas as pd

from crypto_platform.core.hours import HOUR
from crypto_platform.replay.wire.binance import klines
from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import epoch_microseconds

MICROSECONDS_FROM: Final = datetime(2025, 1, 1, tzinfo=UTC)  # open time from which files give µs, not ms
DAY: Final = timedelta(days=1)
# spot files have none; newer ones of futures do
HEADER: Final = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
_TIMES: Final = (0, 6)  # columns
_ENTRY_DATE: Final = (1980, 1, 1, 0, 0, 0)  # a fixed one, so that the same candles are the same bytes


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file, by its name.

    Parameters
    ----------
    pair : str
        Such as BTCUSDT.
    stem : str
        Its name without `.zip`, such as BTCUSDT-1h-2026-01.
    start, end : datetime
        Its candles: start ≤ open time < end, a month or a day in UTC.
    available : datetime
        When it appears: a day's when the day is over, a month's on the first Monday after.
    """

    pair: str
    stem: str
    start: datetime
    end: datetime
    available: datetime


def monthly_file(pair: str, stem: str) -> ArchiveFile:
    """The file of a month.

    Raises
    ------
    VendorError
        HTTP 404: no such name.
    """
    start = _start(pair, stem, "%Y-%m")
    end = (start + 31 * DAY).replace(day=1)
    return ArchiveFile(pair, stem, start, end, end + (MONDAY - end.weekday()) % 7 * DAY)


def daily_file(pair: str, stem: str) -> ArchiveFile:
    """The file of a day.

    Raises
    ------
    VendorError
        HTTP 404: no such name.
    """
    start = _start(pair, stem, "%Y-%m-%d")
    return ArchiveFile(pair, stem, start, start + DAY, start + DAY)


def csv_text(candles: pd.DataFrame) -> str:
    """Rows of a file: the twelve items of `binance.klines`, no header; close times as µs or ms too."""
    starts = epoch_microseconds(candles["timestamp"])
    switch = int(MICROSECONDS_FROM.timestamp()) * 1_000_000
    hour = HOUR // timedelta(microseconds=1)
    lines = []
    for start, row in zip(starts, klines(candles), strict=True):
        opened, closed = (start, start + hour - 1) if start >= switch else (start // 1000, (start + hour) // 1000 - 1)
        lines.append(",".join(map(str, (opened, *row[1:6], closed, *row[7:]))) + "\n")
    return "".join(lines)


def in_seconds(text: str) -> str:
    """The rows with their times in seconds."""
    lines = [line.split(",") for line in text.splitlines()]
    for items in lines:
        for column in _TIMES:
            if items[column].isdecimal():  # not a header's
                items[column] = items[column][:10]
    return "".join(",".join(items) + "\n" for items in lines)


def packed(stem: str, text: str) -> bytes:
    """The ZIP file of one CSV file of the same stem."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo(f"{stem}.csv", _ENTRY_DATE)
        entry.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(entry, text)
    return file.getvalue()


def corrupted(content: bytes) -> bytes:
    """A ZIP file with the byte in its middle inverted: its content no longer has the CRC that it tells."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


def checksum(stem: str, content: bytes) -> bytes:
    """Content of `.CHECKSUM`, as sha256sum writes it."""
    return f"{hashlib.sha256(content).hexdigest()}  {stem}.zip\n".encode()


def missing(stem: str) -> VendorError:
    """The answer for a file that does not exist (yet)."""
    return VendorError(404, _no_such_key(stem))


def refusal(status: int) -> str:
    """Body of an HTTP error, in the XML of the object store behind the archive [unconfirmed]."""
    if status == 404:
        return _no_such_key("")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{status}</Code></Error>'


def _no_such_key(key: str) -> str:
    about = "<Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{about}<Key>{key}</Key></Error>'


def _start(pair: str, stem: str, date: str) -> datetime:
    prefix = f"{pair}-1h-"
    text = stem.removeprefix(prefix)
    try:
        start = datetime.strptime(text, date).replace(tzinfo=UTC)
        start + 62 * DAY  # the end of the calendar
    except (ValueError, OverflowError):
        raise missing("") from None
    if not stem.startswith(prefix) or not re.fullmatch(r"[0-9-]{7}|[0-9-]{10}", text):
        raise missing("")
    return start
