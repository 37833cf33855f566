"""A table's rows into sound candles by vendor, and into refused ones: vintage by vintage, by stated rules."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import pandas as pd

from crypto_platform.core.bars import CANDLE_COLUMNS, TIMESTAMP_DTYPE, rejection_reasons
from crypto_platform.core.provenance import Provenance, source_label
from crypto_platform.core.vintages import FILLED, HOUR_SECONDS, contradictions, filled_hours, opens_are_carried
from crypto_platform.sources.base import Fetched, Rejected
from crypto_platform.sources.cells import RawTable
from crypto_platform.sources.clocks import Clock, instants
from crypto_platform.sources.layouts import Layout
from crypto_platform.sources.rows import CONTRADICTORY, MALFORMED, Page, candles_from, payload_text
from crypto_platform.symbols import Symbol
from crypto_platform.tables import ohlcv_data

UNFINISHED: Final = "perhaps_unfinished"
NOT_AN_HOUR: Final = "not_an_hour"
MISSING: Final = frozenset({"", "null", "none", "nan", "na", "n/a"})

_VALUES: Final = CANDLE_COLUMNS[1:]
_OPTIONAL: Final = frozenset({"volume", "trades"})


@dataclass(frozen=True, slots=True)
class Vintage:
    """Rows of one writing: a candle frame whose index are the rows' numbers in the file."""

    candles: pd.DataFrame
    carried: bool


class Sorting:
    """Sorts a table's rows into sound candles and refused ones."""

    def __init__(
        self,
        table: RawTable,
        symbol: Symbol,
        provenance: Provenance,
        start: datetime,
        end: datetime,
        closed: datetime,
    ) -> None:
        self._table = table
        self._symbol = symbol
        self._provenance = provenance
        self._start, self._end, self._closed = start, end, closed
        self._refused: dict[int, str] = {}

    def vintage(self, layout: Layout, rows: np.ndarray, clock: Clock, *, complete: bool) -> Vintage:
        """Candles of some rows; what cannot be read or decided within them is refused."""
        cells = {name: self._table.column(index) for name, index in layout.fields.items()}
        parsed = []
        for number, seconds in zip(rows.tolist(), clock.seconds.tolist(), strict=True):
            try:
                values = [_number(cells[name][number], name) if name in cells else math.nan for name in _VALUES]
                parsed.append((number, _known(seconds), *values))
            except (TypeError, ValueError, OverflowError):
                self._refused[number] = MALFORMED
        frame = pd.DataFrame(parsed, columns=["row", *CANDLE_COLUMNS]).set_index("row").astype(float)
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], unit="s", utc=True).astype(TIMESTAMP_DTYPE)
        if layout.closes is not None:
            frame = self._refuse(frame, self._outlasts(frame, layout.closes), NOT_AN_HOUR)
        frame = frame[~frame.duplicated()]
        frame = self._refuse(frame, frame["timestamp"].duplicated(keep=False).to_numpy(), CONTRADICTORY)
        if not complete and len(frame):
            frame = self._refuse(frame, (frame["timestamp"] == frame["timestamp"].max()).to_numpy(), UNFINISHED)
        frame = frame.sort_values("timestamp")
        if not layout.derived or frame.empty:
            return Vintage(frame, carried=False)
        carried = opens_are_carried(frame)
        doubts = contradictions(frame) if carried else np.full(len(frame), "", dtype=object)
        doubts[filled_hours(frame)] = FILLED
        doubts[(rejection_reasons(frame) != "").to_numpy()] = ""  # refused for what they are
        for reason in dict.fromkeys(doubts[doubts != ""]):
            frame, doubts = self._refuse(frame, doubts == reason, reason), doubts[doubts != reason]
        return Vintage(frame, carried)

    def _outlasts(self, frame: pd.DataFrame, closes: int) -> np.ndarray:
        """Whether a candle closed outside the hour that it opened in; no where the file does not say."""
        cells = self._table.column(closes)
        lasted = instants([cells[number] for number in frame.index]) - frame["timestamp"].astype("int64") / 1_000_000
        return np.asarray((lasted < 0) | (lasted > HOUR_SECONDS), dtype=bool)

    def _refuse(self, frame: pd.DataFrame, bad: np.ndarray, reason: str) -> pd.DataFrame:
        self._refused |= dict.fromkeys(frame.index[bad].tolist(), reason)
        return frame[~bad]

    def by_vendor(self, vintages: Sequence[Vintage], owners: Sequence[str]) -> tuple[tuple[Fetched, ...], int]:
        """One `Fetched` a vendor, the first vintage's first; and how many rows another vintage's took the place of."""
        taken: set[pd.Timestamp] = set()
        superseded = 0
        parts: dict[str, Page] = {}
        for vintage, owner in zip(vintages, owners, strict=True):
            fresh = vintage.candles[~vintage.candles["timestamp"].isin(taken).to_numpy()]
            superseded += len(vintage.candles) - len(fresh)
            sound = fresh[(rejection_reasons(fresh) == "").to_numpy()]
            taken |= set(sound["timestamp"])
            seconds = fresh["timestamp"].astype("int64") / 1_000_000
            page = parts.setdefault(owner, Page())
            page.parsed += list(fresh.assign(timestamp=seconds).itertuples(index=False, name=None))
            page.raw += [self._raw(number) for number in fresh.index]
        fetched = [
            candles_from(
                page,
                symbol=self._symbol.name,
                vendor=owner,
                provenance=self._provenance,
                start=self._start,
                end=self._end,
                clock=self._closed,
            )
            for owner, page in parts.items()
        ]
        label = source_label(owners[0], self._provenance)
        refused = [
            Rejected(label, ohlcv_data.name, self._symbol.name, reason, payload_text(self._raw(number)))
            for number, reason in sorted(self._refused.items())
        ]
        fetched[0] = replace(fetched[0], rejected=tuple(dict.fromkeys((*fetched[0].rejected, *refused))))
        return tuple(fetched), superseded

    def _raw(self, number: int) -> Any:
        row = self._table.rows[number]
        return dict(zip(self._table.columns, row, strict=False)) if self._table.columns else list(row)


def _known(seconds: float) -> float:
    if math.isnan(seconds):
        raise ValueError("no time could be read")
    return seconds


def _number(cell: Any, name: str) -> float:
    if isinstance(cell, bool):
        raise TypeError(f"{cell!r} is no number")
    try:
        return float(cell)
    except (TypeError, ValueError):
        if name in _OPTIONAL and is_missing(cell):
            return math.nan
        raise


def is_missing(cell: Any) -> bool:
    """Whether a cell is one of the ways to write nothing."""
    return cell is None or str(cell).strip().lower() in MISSING
