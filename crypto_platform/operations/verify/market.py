"""Rules of what the vendors gave: candles, gaps, coverage, provenance, revisions, refused rows, imports."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final

import pandas as pd
from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal, not_, or_, select, union_all

from crypto_platform.core.bars import CANDLE_COLUMNS
from crypto_platform.core.hours import HOUR
from crypto_platform.core.provenance import Provenance, provenance_of, source_label, vendor_of
from crypto_platform.core.quarantine import rejection_id
from crypto_platform.operations import edges, provenance
from crypto_platform.operations.series import FEATURES_MARK
from crypto_platform.operations.verify.findings import Breach, Finding, RowRule, Rule, culprits, tell
from crypto_platform.operations.verify.moments import Floored, Later
from crypto_platform.storage.warehouse import read
from crypto_platform.tables import (
    features,
    imported_files,
    model_versions,
    ohlcv_data,
    ohlcv_gaps,
    ohlcv_revisions,
    predictions,
    quarantine,
    sentiment_data,
    vendor_states,
    watermarks,
)
from crypto_platform.tables.columns import UTCDateTime

BATCH: Final = 20_000  # refused rows in memory at a time, at most 2,000 characters each
LABELED: Final = (*provenance.TABLES, ohlcv_revisions, quarantine, imported_files)
ON_THE_HOUR: Final = (
    ohlcv_data.c.timestamp,
    features.c.timestamp,
    predictions.c.candle_timestamp,
    ohlcv_gaps.c.gap_start,
    ohlcv_gaps.c.gap_end,
)

COLLECT: Final = "run `crypto-platform backfill`"
REBUILD: Final = "lower the watermark to the first hour named, then run `crypto-platform tick`"


def row_rules(as_of: datetime) -> Iterator[RowRule]:
    """Conditions on single rows that no constraint states."""
    cure = "take the row out: no source has such a candle"
    for column in ON_THE_HOUR:
        off = column != Floored(column, "hour")
        yield RowRule(Rule.GRID, column.table, off, f"{column.name} is not on the hour", cure)
    off = sentiment_data.c.timestamp != Floored(sentiment_data.c.timestamp, "day")
    yield RowRule(Rule.GRID, sentiment_data, off, "the day does not begin at 00:00 UTC", "take the row out")
    end = Later(ohlcv_data.c.timestamp, HOUR)
    early = or_(ohlcv_data.c.known_at < end, end > literal(as_of, UTCDateTime))
    yield RowRule(Rule.CLOSED, ohlcv_data, early, "the candle was not closed when it was stored", cure)
    for column, pattern in (
        (imported_files.c.sha256, "^[0-9a-f]{64}$"),
        (model_versions.c.bundle_sha256, "^[0-9a-f]{64}$"),
        (vendor_states.c.month, "^[0-9]{4}-[0-9]{2}$"),
    ):
        wrong = not_(column.regexp_match(pattern))
        yield RowRule(Rule.RECORDS, column.table, wrong, f"{column.name} is none", "take the row out")


def gaps(connection: Connection) -> Iterator[Finding]:
    """Every stretch of missing hours is recorded from its first to its last, and nothing else is."""
    candle, gap = ohlcv_data.c, ohlcv_gaps.c
    before = func.lag(candle.timestamp).over(partition_by=candle.symbol, order_by=candle.timestamp)
    steps = select(candle.symbol, candle.timestamp.label("until"), before.label("before")).subquery()
    begin = Later(steps.c.before, HOUR)
    holes = read(connection, select(steps.c.symbol, begin.label("at"), steps.c.until).where(steps.c.until > begin))
    bare = gap.filled_from.is_(None)  # where another source stands in, no hour is missing
    recorded = read(connection, select(gap.symbol, gap.gap_start.label("at"), gap.gap_end.label("until")).where(bare))
    both = holes.merge(recorded.drop_duplicates(), how="outer", indicator="side").sort_values(["symbol", "at"])
    for side, table, what in (
        ("left_only", ohlcv_data, "hours from here on are missing and recorded as no gap"),
        ("right_only", ohlcv_gaps, "the gap is not what is missing between a candle and the next"),
    ):
        yield from tell(Rule.GAPS, table, both[both["side"] == side], what, COLLECT)


def coverage() -> Iterator[Breach]:
    """Marks of the candles: what lies within, of which source, and that there is one."""
    mark, candle = watermarks.c, ohlcv_data.c
    name = ohlcv_data.name
    ours = and_(mark.dataset == name, mark.symbol == candle.symbol)
    first = select(candle.symbol, func.min(candle.timestamp).label("at")).group_by(candle.symbol).subquery()
    unmarked = select(first).where(not_(exists().where(mark.dataset == name, mark.symbol == first.c.symbol)))
    yield Breach(Rule.COVERAGE, watermarks.name, unmarked, "the candles have no watermark", COLLECT)
    for condition, what in (
        (
            or_(mark.since.is_(None), and_(mark.source.is_(None), mark.watermark > mark.since)),
            "the watermark has no beginning or no source",  # where stand-ins alone are, nothing is covered yet
        ),
        (mark.since > mark.watermark, "the watermark ends before it begins"),
    ):
        rows = culprits(watermarks, mark.dataset == name, mark.symbol.in_(select(first.c.symbol)), condition)
        yield Breach(Rule.COVERAGE, watermarks.name, rows, what, "restore the row from a backup")
    labels = [literal(source_label("", p)) + mark.source for p in Provenance]
    for outside, what in (
        (candle.timestamp < mark.since, "candles lie before the beginning of their watermark"),
        (candle.timestamp >= mark.watermark, "candles lie after their watermark"),
    ):
        # Other sources fill hours that this one has not been asked for, too.
        own = candle.source.in_(labels)
        rows = select(candle.symbol, candle.timestamp.label("at")).join(watermarks, ours).where(outside, own)
        yield Breach(Rule.COVERAGE, name, rows, what, f"move the watermark over the candles, or {COLLECT}")


def edges_of_series(connection: Connection) -> Iterator[Finding]:
    """First and last own candles that the marks remember: there is no gap where they are gone."""
    mark, candle = watermarks.c, ohlcv_data.c
    marks = read(
        connection,
        select(mark.symbol, mark.source, mark.since, mark.watermark, mark.details)
        .where(mark.dataset == ohlcv_data.name, mark.source.is_not(None))
        .order_by(mark.symbol),
    )
    rows = read(
        connection,
        select(
            candle.symbol,
            candle.source,
            func.min(candle.timestamp).label("first"),
            func.max(candle.timestamp).label("last"),
        ).group_by(candle.symbol, candle.source),
    )
    held = {(row.symbol, row.source): (row.first, row.last) for row in rows.itertuples()}
    with_candles = set(rows["symbol"])
    missing: list[tuple[str, pd.Timestamp]] = []
    for row in marks.itertuples():
        was = edges.told(row.details or {})
        found = [held[key] for p in Provenance if (key := (row.symbol, source_label(row.source, p))) in held]
        if was is None:
            missing += [(row.symbol, row.since)] if row.symbol not in with_candles and row.watermark > row.since else []
            continue
        last = max((last for _, last in found), default=None)
        missing += [(row.symbol, pd.Timestamp(was.start))] if all(first > was.start for first, _ in found) else []
        missing += [(row.symbol, last + HOUR)] if last is not None and last + HOUR < was.end else []
    what = "own candles from here on were stored and are gone"
    yield from tell(Rule.COVERAGE, ohlcv_data, pd.DataFrame(missing, columns=["symbol", "at"]), what, COLLECT)


def feature_coverage() -> Iterator[Breach]:
    """Marks of the features; rows after one that was taken back wait to be computed again."""
    mark, candle, feature = watermarks.c, ohlcv_data.c, features.c
    newest = select(candle.symbol, func.max(candle.timestamp).label("last")).group_by(candle.symbol).cte("newest")
    ahead = (
        select(mark.symbol, mark.watermark.label("at"))
        .outerjoin_from(watermarks, newest, newest.c.symbol == mark.symbol)
        .where(
            mark.dataset.startswith(FEATURES_MARK, autoescape=True),
            or_(newest.c.last.is_(None), mark.watermark > Later(newest.c.last, HOUR)),
        )
    )
    yield Breach(Rule.COVERAGE, watermarks.name, ahead, "features are marked as built where no candle is yet", REBUILD)
    held = (
        select(feature.symbol, feature.feature_set_hash, func.max(feature.timestamp).label("at"))
        .group_by(feature.symbol, feature.feature_set_hash)
        .subquery()
    )
    beyond = (
        select(held.c.symbol, held.c.at)
        .outerjoin(newest, newest.c.symbol == held.c.symbol)
        .where(or_(newest.c.last.is_(None), held.c.at > newest.c.last))
    )
    yield Breach(Rule.COVERAGE, features.name, beyond, "the newest features are of an hour after all candles", REBUILD)
    marked = exists().where(
        mark.dataset == literal(FEATURES_MARK) + held.c.feature_set_hash, mark.symbol == held.c.symbol
    )
    rows = select(held.c.symbol, held.c.at).where(not_(marked))
    yield Breach(Rule.COVERAGE, features.name, rows, "the features have no watermark", "run `crypto-platform tick`")


def sources(connection: Connection, is_vendor: Callable[[str], bool] | None) -> Iterator[Breach]:
    """One provenance in all tables, that of most rows, and vendors that are known."""
    tallies = (
        select(literal(t.name).label("name"), t.c.source, func.count().label("n")).group_by(t.c.source) for t in LABELED
    )
    counts = read(connection, union_all(*tallies).subquery().select())
    kinds = {label: _provenance(label) for label in set(counts["source"])}
    rows_of = counts.groupby(counts["source"].map(kinds))["n"].sum().drop("", errors="ignore")
    held = rows_of.idxmax() if len(rows_of) else ""
    foreign = [label for label, kind in kinds.items() if kind not in {"", held}]
    unknown = [label for label, kind in kinds.items() if not kind]
    strangers = []
    if is_vendor:
        of_candles = set(counts.loc[counts["name"] == ohlcv_data.name, "source"]) - set(unknown)
        strangers = [label for label in of_candles if not is_vendor(vendor_of(label))]
    for table in LABELED:
        if foreign:
            what = f"the source is {', '.join(sorted(foreign))} in a store of {held} data"
            rows = culprits(table, table.c.source.in_(foreign))
            yield Breach(Rule.PROVENANCE, table.name, rows, what, "take the rows out, or begin a store for each")
        if unknown:
            rows = culprits(table, table.c.source.in_(unknown))
            yield Breach(Rule.VENDORS, table.name, rows, "the source names no vendor", "write the vendor's name there")
    if strangers:
        what = f"nobody knows a vendor of the name {', '.join(sorted(strangers))}"
        rows = culprits(ohlcv_data, ohlcv_data.c.source.in_(strangers))
        yield Breach(Rule.VENDORS, ohlcv_data.name, rows, what, "write the vendor's name there")


def _provenance(label: str) -> str:
    """Provenance of a source's label; empty where it has no such form."""
    try:
        return provenance_of(label).value if vendor_of(label) else ""
    except ValueError:
        return ""


def revisions() -> Iterator[Breach]:
    """The newest restatement of a candle is what is stored, and each restates something."""
    revision, candle = ohlcv_revisions.c, ohlcv_data.c
    names = [name for name in CANDLE_COLUMNS if name != "timestamp"]
    newest = select(
        ohlcv_revisions,
        func.row_number()
        .over(partition_by=(revision.symbol, revision.timestamp), order_by=revision.seen_at.desc())
        .label("number"),
    ).subquery()
    rows = (
        select(newest.c.symbol, newest.c.timestamp.label("at"))
        .join(ohlcv_data, and_(candle.symbol == newest.c.symbol, candle.timestamp == newest.c.timestamp))
        .where(
            newest.c.number == 1,
            candle.source == newest.c.source,  # else another source has replaced the hour
            _any_differs((newest.c[f"new_{name}"], candle[name]) for name in names),
        )
    )
    what = "the candle is not what its newest revision says"
    yield Breach(Rule.REVISIONS, ohlcv_data.name, rows, what, "write the revision's new values into the candle")
    replaced = and_(revision.old_source.is_not(None), revision.old_source != revision.source)
    changed = _any_differs((revision[f"old_{name}"], revision[f"new_{name}"]) for name in names)
    rows = culprits(ohlcv_revisions, not_(changed), not_(replaced))
    yield Breach(Rule.REVISIONS, ohlcv_revisions.name, rows, "old and new values are equal", "take the row out")


def _any_differs(pairs: Iterator[tuple[Any, Any]]) -> ColumnElement[bool]:
    return or_(*(a.is_distinct_from(b) for a, b in pairs))


def refused_rows(connection: Connection) -> Iterator[Finding]:
    """Ids that are not the hash of their rows; read in batches, in the order of the key."""
    last = ""
    while True:
        rows = read(connection, select(quarantine).where(quarantine.c.id > last).order_by(quarantine.c.id).limit(BATCH))
        ids = [rejection_id(r.source, r.dataset, r.symbol, r.reason, r.payload) for r in rows.itertuples()]
        found = rows[rows["id"] != pd.Series(ids, dtype=object)].rename(columns={"id": "at"})
        what = "the id is not the hash of the row"
        yield from tell(Rule.QUARANTINE, quarantine, found, what, "take the row out: it was changed by hand")
        if len(rows) < BATCH:
            return
        last = rows["id"].iloc[-1]
