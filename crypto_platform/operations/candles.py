"""Candles of many symbols kept up with their sources: forward to the newest closed hour, back as far as wanted."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, Final

from sqlalchemy import Connection, func, select

from crypto_platform.core.coverage import Interval, backward, forward, missing
from crypto_platform.core.hours import HOUR, SETTLE, closed_until
from crypto_platform.core.provenance import source_label
from crypto_platform.errors import ConfigurationError, PlatformError, SourceError
from crypto_platform.operations import asking, edges, gaps, watermarks
from crypto_platform.operations.results import Report, SymbolResult, attempted
from crypto_platform.operations.series import Stored, restated_since, store_candles
from crypto_platform.operations.watermarks import Mark
from crypto_platform.sources.base import CandleSource, Fetched
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol, ended
from crypto_platform.tables import ohlcv_data

OVERLAP: Final = 24 * HOUR  # read again each time: a restated candle is seen, at no cost in requests
RECHECK: Final = timedelta(hours=48)  # an hour the primary answered without is asked for again so long
REREAD: Final = timedelta(hours=48)  # of hours restated in the last `OVERLAP`, these newest are read again
LOOK_BACK: Final = timedelta(days=1)  # between questions for hours before a series' first candle
# A series whose primary answers without a candle for longer has stopped; no other source goes on for it. Where it
# does not answer at all, others fill its newest hours this far back.
FALLBACK_REACH: Final = timedelta(days=7)
TICK_CHUNKS: Final = 6  # of one symbol in a run that must end soon: a bit more than a year
THREADS: Final = 8

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """What is the same for all symbols of a run."""

    store: Warehouse
    sources: Sequence[CandleSource]
    as_of: datetime
    wanted: datetime
    settle: timedelta
    most_chunks: int | None
    progress: Progress

    @property
    def end(self) -> datetime:
        """Exclusive end of the closed candles."""
        return closed_until(self.as_of, self.settle)


def collect_candles(
    store: Warehouse,
    sources: Sequence[CandleSource],
    symbols: Sequence[Symbol],
    *,
    as_of: datetime,
    history: timedelta,
    settle: timedelta = SETTLE,
    most_chunks: int | None = TICK_CHUNKS,
    progress: Progress = lambda *_: None,
) -> Report:
    """Bring each symbol's candles up to the newest closed hour and back to the beginning of the wanted history.

    Every chunk of hours is one transaction: rows, coverage, gaps and refused rows together. A run that is killed goes
    on where it stopped, and one that finds nothing new writes no candle.

    Parameters
    ----------
    store : Warehouse
    sources : sequence of CandleSource
        In order of preference. A symbol stays with the source of its first candle; the others fill hours it lacks.
    symbols : sequence of Symbol
    as_of : datetime
        The moment of the collection; candles closed by then are stored, no later ones.
    history : timedelta
        How far before `as_of` the series is to reach, as far as the source does.
    settle : timedelta
        Wait after an hour's end before its candle counts as closed.
    most_chunks : int or None
        Chunks (`core.coverage.CHUNK_HOURS`) fetched of one symbol; None for as many as it takes. The newest hours
        come first, the next run goes on with the older ones. A run without a limit also looks through what it has:
        hours that somebody took out are fetched again.
        Hours before a series' first candle may be of before its listing, or an answer that lost them: they are asked
        for again by each run without a limit, by others once in `LOOK_BACK`, from the newest on until none come.
    progress : callable
        Gets symbol, chunks done and chunks to do, from several threads.

    Returns
    -------
    Report
        One symbol's failure is that symbol's error; the others are stored.

    Raises
    ------
    ConfigurationError
        No source is usable.
    ProvenanceError
        The data is of another provenance than the store's.
    """
    if not sources:
        raise ConfigurationError("no candle source is usable: list a keyless one in CRYPTO_PLATFORM_OHLCV_SOURCES")
    job = _Job(store, sources, as_of, closed_until(as_of - history), settle, most_chunks, progress)
    names = [symbol.name for symbol in symbols]
    marks = watermarks.read_marks(store, ohlcv_data.name, names)
    due = gaps.due(store, names, as_of)
    restated = restated_since(store, names, oldest=as_of - REREAD, seen_after=as_of - OVERLAP)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="collect") as pool:
        workers = [
            _Worker(job, s, marks.get(s.name), due.get(s.name, []), restated.get(s.name, job.end)) for s in symbols
        ]
        return Report(ohlcv_data.name, tuple(pool.map(_Worker.run, workers)))


@dataclass(slots=True)
class _Worker:
    """One symbol's part of a run.

    Parameters
    ----------
    mark : Mark or None
        Coverage and primary source so far.
    due : list of Interval
        Gaps to ask for again.
    again : datetime
        First hour to read again because it was restated lately.
    """

    job: _Job
    symbol: Symbol
    mark: Mark | None
    due: list[Interval]
    again: datetime
    failure: PlatformError | None = None
    written: int = 0
    restated: int = 0
    rejected: int = 0
    n_asked: int = 0  # chunks
    found: list[Interval] = field(default_factory=list)  # chunks in which this run found hours missing
    filled: dict[str, int] = field(default_factory=dict)  # hours by the fallback they came from
    notes: list[str] = field(default_factory=list)
    lost: list[Interval] = field(default_factory=list)  # chunks at the edges that somebody took out
    looks_back: bool = False  # whether hours before the first candle are being asked for again

    def run(self) -> SymbolResult:
        """Collect what the budget allows; whatever ends it is this symbol's error, and what was stored stays."""
        result = attempted(self.symbol.name, self._collect_all)
        return replace(result, rows=self.written)

    def _collect_all(self) -> SymbolResult:
        """The error is the primary's, where nobody made up for it."""
        if self.job.most_chunks is None:
            self._find_lost()
        is_complete = self._follow_primary()
        is_made_up_for = self._fill_tail() and is_complete
        self._heal()
        details: dict[str, Any] = {
            "source": self.mark.source if self.mark else None,
            "restated": self.restated,
            "quarantined": self.rejected,
            **{f"filled from {vendor}": n for vendor, n in self.filled.items()},
            "notes": "; ".join(dict.fromkeys(self.notes)) or None,
        }
        error = None
        if self.failure and is_made_up_for:
            details["primary failed"] = str(self.failure)
        elif self.failure:
            error = str(self.failure)
        return SymbolResult(self.symbol.name, self.written, last=self._newest(), details=details, error=error)

    def _find_lost(self) -> None:
        """Find the hours within the coverage that somebody took out: gaps to heal, and what the edges lack."""
        if self.mark is None or self.mark.source is None or self.mark.since is None:
            return
        covered = Interval(self.mark.since, self.mark.watermark)
        with self.job.store.begin() as connection:
            own = edges.own_label(connection, self.mark.source)
            gaps.record(connection, self.symbol.name, covered, own, self.job.as_of)
            stretches = edges.lost(connection, self.symbol.name, self.mark)
        self.lost = [chunk for stretch in stretches for chunk in forward(stretch.start, stretch.end)]
        self.due = gaps.due(self.job.store, [self.symbol.name], self.job.as_of).get(self.symbol.name, [])

    def _plan(self) -> list[Interval]:
        """Chunks to ask the primary for; the newest of a new series come first."""
        job, mark = self.job, self.mark
        over = ended(self.symbol, job.as_of)
        end = over or job.end
        if mark is None or self._is_unknown():
            chunks: Iterator[Interval] = backward(job.wanted, end)
        else:
            again = min(mark.watermark - OVERLAP, self.again)
            is_told = over is not None and mark.watermark >= over and job.as_of - over > RECHECK
            newest: Iterator[Interval] = iter(()) if is_told else forward(again, end)
            chunks = chain(newest, self.lost, backward(job.wanted, mark.since or mark.watermark))
        return list(islice(chunks, job.most_chunks))

    def _is_unknown(self) -> bool:
        """Whether a collection before this one found no source with a candle."""
        return self.mark is not None and self.mark.source is None and "asked_at" in self.mark.details

    def _follow_primary(self) -> bool:
        """Ask the primary for all chunks; whether the older hours of the plan came, whatever became of the newest."""
        before, chunks = self.mark, self._plan()
        if self._is_unknown() and self.job.most_chunks is not None:
            chunks = chunks[:1]  # not listed yet, it seems: one question a run
        for n, chunk in enumerate(chunks, 1):
            is_history = self.mark is None or (self.mark.since is not None and chunk.end <= self.mark.since)
            if not self._collect(chunk):
                return not is_history and chunk not in self.lost
            self.job.progress(self.symbol.name, n, len(chunks))
        if self.lost:
            self._accept_edges()
        return self._look_back(before)

    def _accept_edges(self) -> None:
        """Let the mark remember what is there, now that the primary was asked for what is not."""
        with self.job.store.begin() as connection:
            mark = watermarks.read_mark(connection, ohlcv_data.name, self.symbol.name)
            if mark is None or mark.source is None:
                return
            now = edges.held(connection, self.symbol.name, edges.own_label(connection, mark.source))
            if now is not None:
                self.mark = replace(mark, details={**mark.details, **edges.details(now)})
                watermarks.write_mark(connection, ohlcv_data.name, self.symbol.name, self.mark)

    def _collect(self, chunk: Interval) -> bool:
        """Ask the primary for a chunk and store it; whether it answered."""
        try:
            fetched = self._ask_primary(chunk)
        except (SourceError, ConfigurationError) as error:
            self.failure = error
            return False
        self._store_primary(fetched, chunk)
        return True

    def _look_back(self, before: Mark | None) -> bool:
        """Ask again for hours before the first candle, unless this run did already; whether the primary answered."""
        job, mark = self.job, self.mark
        if before is None or before.since is None or before.since > job.wanted or mark is None or mark.source is None:
            return True
        told = before.details.get("looked_back_at")
        if job.most_chunks is not None and told and job.as_of - datetime.fromisoformat(told) < LOOK_BACK:
            return True
        self.looks_back = True
        first = self._first(mark.source)
        while first is not None and first > job.wanted and self.n_asked < (job.most_chunks or math.inf):
            if not self._collect(next(backward(job.wanted, first))):
                return False
            first, later = self._first(mark.source), first
            if first == later:
                break
        return True

    def _ask_primary(self, chunk: Interval) -> Fetched:
        pin = self.mark.source if self.mark else None
        if pin is not None:
            return self._ask(asking.pinned(self.job.sources, self.symbol, pin), chunk)
        fetched, passed_over = asking.first_answer(self.job.sources, lambda source: self._ask(source, chunk))
        self.notes += passed_over
        return fetched

    def _ask(self, source: CandleSource, chunk: Interval) -> Fetched:
        self.n_asked += 1
        return asking.fetch(source, self.symbol, chunk)

    def _store_primary(self, fetched: Fetched, chunk: Interval) -> None:
        with self.job.store.begin() as connection:
            held = watermarks.read_mark(connection, ohlcv_data.name, self.symbol.name)
            pin = (held.source if held else None) or fetched.vendor
            stored = self._store(connection, fetched, chunk, pin)
            if pin == fetched.vendor:  # nobody chose another primary meanwhile
                held = self._advanced(connection, held, fetched, stored, chunk)
                watermarks.write_mark(connection, ohlcv_data.name, self.symbol.name, held)
        self.mark = held

    def _store(self, connection: Connection, fetched: Fetched, chunk: Interval, primary: str) -> Stored:
        job = self.job
        stored = store_candles(
            connection, self.symbol.name, fetched, chunk, primary=primary, as_of=job.as_of, settle=job.settle
        )
        self.written += stored.written
        self.restated += stored.restated
        self.rejected += stored.rejected
        if stored.lacks:
            self.found.append(chunk)
        return stored

    def _advanced(
        self, connection: Connection, held: Mark | None, fetched: Fetched, stored: Stored, chunk: Interval
    ) -> Mark:
        """Coverage with a chunk that the primary answered; the newest hours it lacks stay uncovered for a while."""
        job = self.job
        covered = chunk.end if chunk.end < job.end else max(chunk.start, job.end - RECHECK)
        details = dict(held.details if held else {}) | {
            "asked_at": job.as_of.isoformat(),
            "vendor_clock": fetched.clock.isoformat() if fetched.clock else None,
        }
        if self.looks_back:
            details["looked_back_at"] = job.as_of.isoformat()
        source = (held.source if held else None) or (fetched.vendor if stored.last else None)
        if source is None:  # nobody has a candle, which may be a passing fault: nothing counts as answered
            return replace(held or Mark(covered, None, covered), details=details)
        watermark, since = covered, chunk.start
        if stored.first and stored.last:
            own = source_label(fetched.vendor, fetched.provenance)
            came = Interval(stored.first, stored.last + HOUR)
            details |= edges.grown(connection, self.symbol.name, held, own, came)
            watermark = max(covered, came.end)
        if held:
            watermark = max(watermark, held.watermark)
            since = min(since, held.since or held.watermark) if held.source else since
        return Mark(watermark, source, since, details)

    def _fill_tail(self) -> bool:
        """Ask the fallbacks for the newest hours where the primary lacks some; whether they had them all."""
        newest = self._newest()
        is_over = ended(self.symbol, self.job.as_of) is not None
        if newest is None or self.mark is None or self.mark.source is None or is_over:
            return False
        tail = Interval(newest + HOUR, self.job.end)
        is_long = tail.end - tail.start > FALLBACK_REACH
        if is_long and self.failure:  # nobody said that it stopped; the hours before are a gap, and asked for as one
            tail = Interval(tail.end - FALLBACK_REACH, tail.end)
        elif is_long:
            self.notes.append(f"{self.mark.source} has no candle since {newest:%Y-%m-%d %H:%M} UTC")
            return False
        if not tail.hours:
            return False
        self._fill(tail)
        return not self._missing(tail)

    def _heal(self) -> None:
        """Ask for gaps whose time has come, and for those that this run found; what no source has stays one."""
        if self.mark is None or self.mark.source is None:
            return
        most = self.job.most_chunks
        for gap in [*self.due, *self._just_found()]:
            if most is not None and self.n_asked >= 2 * most:
                return  # the next run goes on
            asked = {self.mark.source} if gap not in self.due else self._ask_again(gap)
            asked |= self._fill(gap)
            if asked:
                with self.job.store.begin() as connection:
                    gaps.note_attempt(connection, self.symbol.name, gap, asked, self.job.as_of)

    def _just_found(self) -> list[Interval]:
        if not self.found:
            return []
        found = gaps.due(self.job.store, [self.symbol.name], self.job.as_of).get(self.symbol.name, [])
        return [gap for gap in found if gap not in self.due and any(gap.overlaps(chunk) for chunk in self.found)]

    def _ask_again(self, gap: Interval) -> set[str]:
        """Ask the primary for a gap it answered without before; its name where it answered now."""
        if self.failure:
            return set()
        try:
            for chunk in forward(gap.start, gap.end):
                fetched = self._ask_primary(chunk)
                with self.job.store.begin() as connection:
                    self._store(connection, fetched, chunk, fetched.vendor)
        except (SourceError, ConfigurationError) as error:
            self.notes.append(str(error))
            return set()
        return {fetched.vendor}

    def _fill(self, interval: Interval) -> set[str]:
        """Ask the fallbacks in order for the hours an interval still lacks; names of those that answered."""
        assert self.mark
        answered = set()
        for source in self.job.sources:
            holes = self._missing(interval)
            if source.name == self.mark.source or not holes:
                continue
            try:
                for chunk in forward(holes[0].start, holes[-1].end):
                    fetched = self._ask(source, chunk)
                    with self.job.store.begin() as connection:
                        stored = self._store(connection, fetched, chunk, str(self.mark.source))
                    if stored.written:
                        self.filled[source.name] = self.filled.get(source.name, 0) + stored.written
                answered.add(source.name)
            except (SourceError, ConfigurationError) as error:
                self.notes.append(str(error))
        return answered

    def _missing(self, interval: Interval) -> list[Interval]:
        stamps = self.job.store.read(
            select(ohlcv_data.c.timestamp)
            .where(
                ohlcv_data.c.symbol == self.symbol.name,
                ohlcv_data.c.timestamp >= interval.start,
                ohlcv_data.c.timestamp < interval.end,
            )
            .order_by(ohlcv_data.c.timestamp)
        )
        return missing(stamps["timestamp"], interval)

    def _first(self, primary: str) -> datetime | None:
        """The primary's oldest hour."""
        with self.job.store.reading() as connection:
            hours = edges.held(connection, self.symbol.name, edges.own_label(connection, primary))
        return hours.start if hours else None

    def _newest(self) -> datetime | None:
        newest = select(func.max(ohlcv_data.c.timestamp)).where(ohlcv_data.c.symbol == self.symbol.name)
        with self.job.store.reading() as connection:
            found: datetime | None = connection.execute(newest).scalar()
        return found
