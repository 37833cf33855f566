"""Rules of what is computed: features and labels, bundles and aliases, forecasts and outcomes."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import Connection, Select, and_, func, or_, select

from crypto_platform.core import features as science
from crypto_platform.core.hours import HOUR
from crypto_platform.errors import ArtifactError, InvalidBarsError
from crypto_platform.operations import build
from crypto_platform.operations.series import FEATURES_MARK
from crypto_platform.operations.verify.findings import Breach, Finding, RowRule, Rule, listed, words
from crypto_platform.operations.verify.moments import Later
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import read
from crypto_platform.tables import (
    features,
    model_aliases,
    model_versions,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    watermarks,
)
from crypto_platform.tables.features import HORIZONS, target_direction, target_return

SAMPLE: Final = timedelta(hours=48)  # newest hours of each symbol whose features are computed again
TOLERANCE: Final = 1e-9  # relative and absolute: what a longer lookback may change
WALK_FORWARD: Final = "walk_forward"  # forecasts of the past, made afterwards on purpose

_LABELS: Final = {name(h): h for h in HORIZONS for name in (target_return, target_direction)}
_COMPARED: Final = ["close", "is_filled", "is_valid", "segment_hours", *science.DEFAULT.features, *_LABELS]
_FORECAST_KEY: Final = ("symbol", "horizon", "prediction_timestamp", "version")

KEEP_OUT: Final = "take the row out: it must not be scored or served"


def row_rules() -> Iterator[RowRule]:
    """Conditions on single rows that no constraint states."""
    p, o, m = predictions.c, prediction_outcomes.c, model_versions.c
    by_hand = p.origin != WALK_FORWARD
    whole = "take the row out: it was changed by hand"
    for broken, what in (
        (func.abs(p.prob_up + p.prob_down - 1) > TOLERANCE, "prob_up and prob_down do not add up to 1"),
        (p.prob_up.is_(None) != p.prob_down.is_(None), "one of prob_up and prob_down is missing"),
        (p.prediction_timestamp != Later(p.candle_timestamp, HOUR), "the forecast is not dated the end of its candle"),
        (and_(by_hand, p.created_at < p.prediction_timestamp), "the forecast was made before its candle had closed"),
        (
            and_(by_hand, p.created_at >= Later(p.prediction_timestamp, HOUR, p.horizon)),
            "the forecast was made when its outcome was known",
        ),
    ):
        yield RowRule(Rule.FORECASTS, predictions, broken, what, whole)
    early = o.resolved_at < Later(o.prediction_timestamp, HOUR, o.horizon)
    yield RowRule(
        Rule.OUTCOMES, prediction_outcomes, early, "the outcome came before its label could be known", KEEP_OUT
    )
    wrong_side = or_(
        and_(o.realized_direction == 1, o.realized_return <= 0), and_(o.realized_direction == 0, o.realized_return >= 0)
    )
    yield RowRule(Rule.OUTCOMES, prediction_outcomes, wrong_side, "direction and return disagree", KEEP_OUT)
    peeked = m.trained_at < Later(Later(m.train_end, HOUR), HOUR, m.horizon)
    yield RowRule(Rule.MODELS, model_versions, peeked, "its last label was not known at its training", "train again")


def models() -> Iterator[Breach]:
    """Forecasts by models that were trained later, aliases that point to another symbol's bundle."""
    p, m, a = predictions.c, model_versions.c, model_aliases.c
    rows = (
        select(p.symbol, p.prediction_timestamp.label("at"))
        .join(model_versions, m.version == p.version)
        .where(p.created_at < m.trained_at, p.origin != WALK_FORWARD)
    )
    yield Breach(Rule.MODELS, predictions.name, rows, "the forecast is by a model trained after it", KEEP_OUT)
    rows = (
        select(a.symbol, a["at"].label("at"))
        .join(model_versions, m.version == a.version_to)
        .where(or_(m.symbol != a.symbol, m.horizon != a.horizon))
    )
    what = "the alias points to a bundle of another symbol or horizon"
    yield Breach(Rule.MODELS, model_aliases.name, rows, what, "train the symbol again")


def outcomes() -> Iterator[Breach]:
    """Verdicts that are not what forecast and outcome say."""
    p, o = predictions.c, prediction_outcomes.c
    agrees = p.predicted_direction == o.realized_direction
    rows = (
        select(o.symbol, o.prediction_timestamp.label("at"))
        .join(predictions, and_(*(p[name] == o[name] for name in _FORECAST_KEY)))
        .where(o.correct != agrees)
    )
    yield Breach(Rule.OUTCOMES, prediction_outcomes.name, rows, "`correct` is not what the directions say", KEEP_OUT)


def bundles(connection: Connection, artifacts: ArtifactStore) -> Iterator[Finding]:
    """Every registered bundle is there, and each of its files is what was published; pruned ones serve nowhere."""
    newest = read(connection, select(model_aliases).order_by(model_aliases.c.at))
    serving = set(newest.drop_duplicates(["symbol", "horizon", "alias"], keep="last")["version_to"])
    rows = read(connection, select(model_versions.c.symbol, model_versions.c.version, model_versions.c.bundle_sha256))
    for row in rows.itertuples():
        try:
            if not row.bundle_sha256.startswith(row.version):
                raise ArtifactError(f"bundle {row.version} is registered under the hash of another")  # noqa: TRY301
            bundle = artifacts.open(row.version, row.bundle_sha256)
            if bundle.pruned and row.version not in serving:
                continue
            for name in bundle.manifest["files"]:
                bundle.read(name)
        except ArtifactError as error:
            cure = f"restore {artifacts.folder(row.version)} from a backup, or train the symbol again"
            yield Finding(Rule.BUNDLES, model_versions.name, row.symbol, str(error), cure)


def follow_from_candles(
    connection: Connection, as_of: datetime, unsound: frozenset[str], *, deep: bool
) -> Iterator[Finding]:
    """Features and labels of the default set, computed again: the newest hours of each symbol, or all.

    A symbol whose candles are not sound is passed over, and so are rows that wait to be built again.
    """
    candle, mark = ohlcv_data.c, watermarks.c
    first = select(candle.symbol, func.min(candle.timestamp).label("first")).group_by(candle.symbol).subquery()
    marks = read(
        connection,
        select(mark.symbol, mark.watermark, first.c.first)
        .join(first, first.c.symbol == mark.symbol)
        .where(mark.dataset == FEATURES_MARK + science.DEFAULT.hash, mark.watermark > first.c.first),
    )
    until = {row.symbol: row.watermark.to_pydatetime() for row in marks.itertuples() if row.symbol not in unsound}
    begin = {row.symbol: row.first.to_pydatetime() for row in marks.itertuples()}
    plan = {symbol: begin[symbol] if deep else max(begin[symbol], end - SAMPLE) for symbol, end in until.items()}
    parts = [{symbol: start} for symbol, start in plan.items()] if deep else build.chunks(plan, as_of)
    for part in parts:
        yield from _compare(connection, part, until, as_of)


def _compare(
    connection: Connection, plan: Mapping[str, datetime], until: Mapping[str, datetime], as_of: datetime
) -> Iterator[Finding]:
    held = read(connection, _held(plan, until))
    try:
        computed = build.compute_rows(partial(read, connection), plan, as_of, as_of, science.DEFAULT)
    except InvalidBarsError as error:  # of a symbol beyond those that findings name
        yield Finding(Rule.FEATURES, ohlcv_data.name, None, str(error), "mend the candles first")
        return
    if computed.empty:  # marked as built beyond all candles: another rule says so
        computed = held.iloc[:0]
    for symbol, start in plan.items():
        end = until[symbol]
        ours, theirs = _rows_of(held, symbol, start, end), _rows_of(computed, symbol, start, end)
        hours = theirs.index.symmetric_difference(ours.index)
        what = "an hour's row is missing, or is of no hour there is"
        if hours.empty:
            differs = _differs(ours, theirs, end)
            hours = theirs.index[differs.any(axis=1)]
            names = [name for name, wrong in zip(_COMPARED, differs.T, strict=True) if wrong.any()]
            what = f"not what the candles give: {', '.join(names[:5])}{', …' * (len(names) > 5)}"
        if len(hours):
            message = f"{what} ({listed(len(hours), words(pd.Series(hours)))})"
            yield Finding(Rule.FEATURES, features.name, symbol, message, _rebuild(symbol, hours.min()))


def _held(plan: Mapping[str, datetime], until: Mapping[str, datetime]) -> Select[Any]:
    """Stored rows of each symbol from its hour of the plan up to its watermark."""
    spans: dict[tuple[datetime, datetime], list[str]] = {}
    for symbol, start in plan.items():
        spans.setdefault((start, until[symbol]), []).append(symbol)
    f = features.c
    wanted = (and_(f.symbol.in_(s), f.timestamp >= start, f.timestamp < end) for (start, end), s in spans.items())
    return select(f.symbol, f.timestamp, *(f[name] for name in _COMPARED)).where(
        f.feature_set_hash == science.DEFAULT.hash, or_(*wanted)
    )


def _rows_of(frame: pd.DataFrame, symbol: str, start: datetime, end: datetime) -> pd.DataFrame:
    mine = frame[(frame["symbol"] == symbol) & (frame["timestamp"] >= start) & (frame["timestamp"] < end)]
    return mine.drop_duplicates("timestamp").set_index("timestamp")[_COMPARED].sort_index()


def _differs(ours: pd.DataFrame, theirs: pd.DataFrame, end: datetime) -> NDArray[np.bool_]:
    """Cells that differ; a label that may still change is only wrong where there is nothing it could come from."""
    a, b = ours.to_numpy(float), theirs.to_numpy(float)
    differs: NDArray[np.bool_] = ~np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    for column, name in enumerate(_COMPARED):
        if name in _LABELS:
            waits = theirs.index + _LABELS[name] * HOUR >= end
            differs[waits, column] = (~np.isnan(a) & np.isnan(b))[waits, column]
    return differs


def _rebuild(symbol: str, hour: pd.Timestamp) -> str:
    return (
        f"set the watermark of {FEATURES_MARK}{science.DEFAULT.hash} for {symbol} to {hour:%Y-%m-%d %H:%M}, "
        "then run `crypto-platform tick`"
    )
