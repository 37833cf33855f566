"""alternative.me's Fear & Greed index, its oddities included."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.replay.wire.errors import VendorError
from crypto_platform.replay.wire.values import epoch_seconds, integer

DAY: Final = 86_400
# documented with slashes, captured with dashes
_DATE_FORMATS: Final = {"us": "%m-%d-%Y", "cn": "%Y-%m-%d", "kr": "%Y-%m-%d", "world": "%d-%m-%Y"}


@dataclass(frozen=True, slots=True)
class FngQuery:
    """Parameters of one call, checked.

    Parameters
    ----------
    limit : int
        Newest rows to answer; 0 is all. More than there are gives all [unconfirmed].
    csv : bool
        Whether the rows are CSV text.
    date_format : str
        Key of the date formats, or empty for epoch seconds.
    """

    limit: int
    csv: bool
    date_format: str


def parse_fng(params: Mapping[str, str]) -> FngQuery:
    """Read the parameters.

    Raises
    ------
    VendorError
        A text in `metadata.error`; text and status (200) are [unconfirmed].
    """
    limit = integer(params, "limit", 1)
    if limit is None or limit < 0:
        raise _error("limit must be a non-negative integer")
    layout = params.get("format", "json") or "json"
    if layout not in {"json", "csv"}:
        raise _error("format must be json or csv")
    date_format = params.get("date_format", "") or ("world" if layout == "csv" else "")
    if date_format and date_format not in _DATE_FORMATS:
        raise _error("date_format must be us, cn, kr or world")
    return FngQuery(limit, layout == "csv", date_format)


def fng(query: FngQuery, days: pd.DataFrame, now: datetime) -> bytes:
    """Body of `/fng/`, as bytes because its csv form is neither JSON nor CSV.

    Parameters
    ----------
    query : FngQuery
        What was asked.
    days : DataFrame
        `timestamp` (00:00 UTC, ascending), `value`, `classification`; days that never were published are absent.
    now : datetime
        For `time_until_update`.
    """
    chosen = (days.tail(query.limit) if query.limit else days).iloc[::-1]
    stamps = _stamps(chosen["timestamp"], query.date_format)
    values = [str(int(value)) for value in chosen["value"].tolist()]
    labels = chosen["classification"].tolist()
    if query.csv:
        return csv_in_json(stamps, values, labels)
    rows = [
        {"value": value, "value_classification": label, "timestamp": stamp}
        for value, label, stamp in zip(values, labels, stamps, strict=True)
    ]
    if rows:
        rows[0]["time_until_update"] = str(_time_until_update(stamps[0], now))
    return _render({"name": "Fear and Greed Index", "data": rows, "metadata": {"error": None}})


def failed() -> VendorError:
    """The answer where something failed; its text is [unconfirmed]."""
    return _error("an error occurred")


def refusal(status: int) -> str:
    """Body of an HTTP error: a page of the web server."""
    return f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"


def _stamps(days: pd.Series, date_format: str) -> list[str]:
    if date_format:
        dates: list[str] = days.dt.strftime(_DATE_FORMATS[date_format]).tolist()
        return dates
    return [str(stamp) for stamp in epoch_seconds(days)]


def _time_until_update(stamp: str, now: datetime) -> int:
    """Seconds to the next update.

    With a date format the server adds a day to the digits before the first dash (27-02-2026 counts as 27 s after
    1970), so the answer is a large negative number; a capture of such an answer agrees to the minute.
    """
    leading = re.match(r"\d+", stamp)
    assert leading
    return int(leading.group()) + DAY - int(now.timestamp())


def csv_in_json(stamps: list[str], values: list[str], labels: list[str]) -> bytes:
    """CSV lines inside the JSON shell; header and white space are [unconfirmed]."""
    lines = "\n".join(",".join(row) for row in zip(stamps, values, labels, strict=True))
    return (
        '{\n\t"name": "Fear and Greed Index",\n\t"data": [\nfng_date,fng_value,fng_classification\n'
        f'{lines}\n\t],\n\t"metadata": {{\n\t\t"error": null\n\t}}\n}}'
    ).encode()


def _render(body: object) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()


def _error(text: str) -> VendorError:
    body: dict[str, Any] = {"name": "Fear and Greed Index", "data": None, "metadata": {"error": text}}
    return VendorError(200, body)
