"""alternative.me: the daily fear and greed index. Its use asks for attribution beside every display."""

import math
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from crypto_platform.core.bars import TIMESTAMP_DTYPE
from crypto_platform.core.politeness import Limits
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.errors import MalformedResponseError
from crypto_platform.sources.base import SENTIMENT_COLUMNS, Fetched, Rejected
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient
from crypto_platform.sources.rows import AHEAD, CONTRADICTORY, FUTURE, MALFORMED, epoch_seconds, payload_text
from crypto_platform.tables import sentiment_data

NAME: Final = "alternative.me"
DEFAULT_URL: Final = "https://api.alternative.me"
ATTRIBUTION: Final = "Fear & Greed Index: alternative.me"
FIRST_DAY: Final = datetime(2018, 2, 1, tzinfo=UTC)  # of the index
EVERYTHING: Final = 0  # the API's limit for the whole history
LONGEST_WORDS: Final = 40
LARGEST_LIMIT: Final = 365  # beyond, one call for everything is as cheap


class FearGreed:
    """The index from `/fng/`; keyless."""

    name = NAME

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        patience: Patience | None = None,
        *,
        limits: Limits | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._http = HttpClient(
            provider=NAME,
            base_url=base_url,
            url_setting="CRYPTO_PLATFORM_FEAR_GREED_URL",
            limits=limits,
            gate=gate,
            patience=patience,
        )

    def fetch_sentiment(self, start: datetime, end: datetime) -> Fetched:
        """See `sources.base.SentimentSource`."""
        # `limit` counts rows back from the vendor's today; where the range does not reach that far, ask for all.
        days = math.ceil((end - start).total_seconds() / 86_400) + 2
        limit = days if 0 < days <= LARGEST_LIMIT else EVERYTHING
        payload, told = self._http.get_json("/fng/", {"limit": limit})
        if limit != EVERYTHING and not _reaches(payload, start):
            payload, told = self._http.get_json("/fng/", {"limit": EVERYTHING})
        return parse_fng(payload, start, end, told.provenance, told.clock)


def _reaches(payload: Any, start: datetime) -> bool:
    """Whether an answer's oldest day is at or before `start`; where it has none, asking for more cannot help."""
    rows = payload.get("data") if isinstance(payload, dict) else None
    days = [read[0] for _, read in map(_read, rows) if read] if isinstance(rows, list) else []
    return not days or min(days) <= start


def parse_fng(
    payload: Any, start: datetime, end: datetime, provenance: Provenance, clock: datetime | None = None
) -> Fetched:
    """Days of start <= day < end, ascending.

    Parameters
    ----------
    payload : object
        Answer of `/fng/`.
    start, end : datetime
    provenance : Provenance
    clock : datetime, optional
        The vendor's own time: a day that begins more than five minutes later is ``future``.

    Raises
    ------
    MalformedResponseError
        The envelope is not the documented one, or carries an error.
    """
    rows = payload.get("data") if isinstance(payload, dict) else None
    metadata = payload.get("metadata") if isinstance(payload, dict) else None
    error = metadata.get("error") if isinstance(metadata, dict) else None
    if error or not isinstance(rows, list) or not rows:
        raise MalformedResponseError(f"{NAME} gave no index ({error or 'no data in its answer'}); try later")
    label = source_label(NAME, provenance)
    days: dict[datetime, tuple[int, str]] = {}
    refused: list[tuple[str, Any]] = []
    told: dict[datetime, Any] = {}  # the row of each day in `days`
    contradicted: set[datetime] = set()
    for row in rows:
        reason, read = _read(row)
        if read is not None:
            day, values = read
            if clock and day > clock + AHEAD:
                reason = FUTURE
            elif not start <= day < end or days.setdefault(day, values) == values:
                told.setdefault(day, row)
                continue
            else:
                reason = CONTRADICTORY
                contradicted.add(day)
        refused.append((reason, row))
    # Nothing tells which value is right, and a stored day is never restated: the next answer may know.
    refused += [(CONTRADICTORY, told[day]) for day in sorted(contradicted)]
    rejected = tuple(Rejected(label, sentiment_data.name, None, why, payload_text(row)) for why, row in refused)
    kept = [(day, *days[day]) for day in sorted(days) if day not in contradicted]
    frame = pd.DataFrame(kept, columns=list(SENTIMENT_COLUMNS))
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True).astype(TIMESTAMP_DTYPE)
    frame = frame.astype({"fear_greed_value": "int64", "fear_greed_classification": "str"})
    return Fetched(frame, NAME, provenance, rejected, clock)


def _read(row: Any) -> tuple[str, tuple[datetime, tuple[int, str]] | None]:
    """Reason for refusing a row, or its day and values."""
    try:
        day = datetime.fromtimestamp(epoch_seconds(_integer(row["timestamp"])), UTC)
        value, words = _integer(row["value"]), row["value_classification"]
    except (LookupError, TypeError, ValueError, OverflowError, OSError):
        return MALFORMED, None
    if not isinstance(words, str) or not 0 < len(words) <= LONGEST_WORDS or not words.isprintable():
        return MALFORMED, None
    if (day.hour, day.minute, day.second) != (0, 0, 0):
        return "off_grid", None
    if not 0 <= value <= 100:
        return "outside_0_to_100", None
    return "", (day, (value, words))


def _integer(value: Any) -> int:
    """An integer that comes as text, or as itself."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r} is no integer")
    return int(value)
