"""Commands that run one step of the graph without Dagster, for scripts and for looking."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import typer
from sqlalchemy import select

from crypto_platform.cli.shared import (
    AsOf,
    Json,
    announce,
    chosen,
    console,
    ensure_home,
    moment,
    platform,
    print_report,
    progress,
    show,
)
from crypto_platform.errors import PlatformError, SourceError
from crypto_platform.operations.results import Report
from crypto_platform.symbols import select as select_symbols
from crypto_platform.tables import latest_predictions

Names = typer.Argument(None, help="Symbols; all followed ones without any.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (collect, backfill, tick, train, forecasts, report):
        app.command()(command)


def collect(names: list[str] = Names, now: str = AsOf, as_json: bool = Json) -> None:
    """Fetch market snapshots, closed candles and sentiment."""
    from crypto_platform.operations import collect as operation
    from crypto_platform.operations.candles import collect_candles

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        followed = select_symbols(p.settings.book, tuple(chosen(p.settings, names or [])))
        history = timedelta(days=p.settings.history_days)
        steps: tuple[Callable[[], Report], ...] = (
            lambda: collect_candles(
                p.store, p.candle_sources, followed, as_of=as_of, history=history, settle=p.settings.settle
            ),
            lambda: operation.collect_sentiment(p.store, p.sentiment_source, as_of=as_of, history=history),
            lambda: operation.collect_market_data(
                p.store, p.snapshot_source, followed, as_of=as_of, settle=p.settings.settle
            ),
        )
        done, refused = [], []
        for step in steps:  # one provider's failure does not keep the others from being asked
            try:
                done.append(step())
            except SourceError as error:
                refused.append(str(error))
        _print(p, done, as_json=as_json, refused=refused)


def backfill(
    names: list[str] = Names,
    days: int = typer.Option(365, min=1, max=10_000, help="Days of candles before now, as far as their source goes."),
    now: str = AsOf,
    as_json: bool = Json,
) -> None:
    """Fetch candles of `days` before now and the whole sentiment history, and build the features.

    Goes on where an earlier one stopped, and writes nothing where nothing is missing.
    """
    from crypto_platform.operations import build
    from crypto_platform.operations import collect as operation
    from crypto_platform.operations.candles import collect_candles
    from crypto_platform.sources.fear_greed import FIRST_DAY

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        wanted = chosen(p.settings, names or [])
        with progress() as advance:
            done = collect_candles(
                p.store,
                p.candle_sources,
                select_symbols(p.settings.book, tuple(wanted)),
                as_of=as_of,
                history=timedelta(days=days),
                settle=p.settings.settle,
                most_chunks=None,
                progress=advance,
            )
        reports, refused = [done], []
        try:
            reports.append(
                operation.collect_sentiment(
                    p.store, p.sentiment_source, as_of=as_of, history=as_of - FIRST_DAY, whole=True
                )
            )
        except SourceError as error:
            refused.append(str(error))
        s = p.settings
        reports.append(build.build_features(p.store, wanted, as_of=as_of, feature_set=s.feature_set, settle=s.settle))
        _print(p, reports, as_json=as_json, refused=refused)


def tick(names: list[str] = Names, now: str = AsOf, as_json: bool = Json) -> None:
    """Do what an hour's tick does: candles, features, forecasts, outcomes."""
    from crypto_platform.operations import build, predict, settle
    from crypto_platform.operations.candles import collect_candles

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        s, wanted = p.settings, chosen(p.settings, names or [])
        reports = [
            collect_candles(
                p.store,
                p.candle_sources,
                select_symbols(s.book, tuple(wanted)),
                as_of=as_of,
                history=timedelta(days=s.history_days),
                settle=s.settle,
            ),
            build.build_features(p.store, wanted, as_of=as_of, feature_set=s.feature_set, settle=s.settle),
            predict.predict(
                p.store,
                p.artifacts,
                wanted,
                as_of=as_of,
                created_at=moment(None),
                horizons=s.horizons,
                rules=s.signal_rules,
                expiry=timedelta(days=s.expiry_days),
                settle=s.settle,
                feature_set=s.feature_set,
            ),
            settle.settle(p.store, wanted, as_of=as_of, feature_set=s.feature_set),
        ]
        _print(p, reports, as_json=as_json)


def train(names: list[str] = Names, now: str = AsOf, as_json: bool = Json) -> None:
    """Train the four models of each symbol on its newest rows; a bundle that passes the gate serves from then on."""
    from crypto_platform.operations import train as operation

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        s = p.settings
        done = operation.train(
            p.store,
            p.artifacts,
            chosen(s, names or []),
            as_of=as_of,
            horizons=s.horizons,
            train_days=s.train_days,
            parameters=p.parameters,
            workers=p.workers,
            reason="command line",
            expiry=timedelta(days=s.expiry_days),
            clock=None if now else p.clock.now,
            feature_set=s.feature_set,
        )
        _print(p, (done,), as_json=as_json)


def _print(opened: Any, reports: Sequence[Report], *, as_json: bool, refused: Sequence[str] = ()) -> None:
    """All reports; then one error for all that failed."""
    if not as_json:
        announce(opened)
    failures = list(refused)
    for done in reports:
        print_report(done, as_json=as_json)
        failures += [f"{done.subject} of {symbol}: {why}" for symbol, why in done.failed.items()]
    if failures:
        raise PlatformError("; ".join(failures))


def forecasts(as_json: bool = Json) -> None:
    """Latest forecast of each symbol and horizon."""
    with platform() as p:
        rows = p.store.read(
            select(latest_predictions).order_by(latest_predictions.c.symbol, latest_predictions.c.horizon)
        )
        if as_json:
            console.print_json(json.dumps(rows.to_dict("records"), default=str))
            return
        announce(p)
        if rows.empty:
            console.print("There are no forecasts yet: `crypto-platform tick` makes them once a model is trained.")
            return
        show_forecasts(rows.to_dict("records"))


def show_forecasts(rows: list[dict]) -> None:  # type: ignore[type-arg]
    """A table of forecasts, newest hour each."""
    import pandas as pd

    cells = [
        [
            row["symbol"],
            f"{row['horizon']} h",
            f"{row['prediction_timestamp']:%m-%d %H:%M}",
            f"{row['current_price']:,.6g}",
            None if row["prob_up"] is None or row["prob_up"] != row["prob_up"] else f"{row['prob_up']:.1%}",
            row["signal"],
            row["signal_before_costs"],
            row["reason"] if pd.isna(row["resumes_at"]) else f"{row['reason']} until {row['resumes_at']:%m-%d %H:%M}",
        ]
        for row in rows
    ]
    columns = ("symbol", "horizon", "as of (UTC)", "price", "p(up)", "signal", "before costs", "why HOLD")
    show("Latest forecasts", columns, cells)


def report(now: str = AsOf) -> None:
    """Write the monitoring report and the A/B report."""
    from crypto_platform.operations import compare, monitor
    from crypto_platform.operations import report as operation

    as_of = moment(now)
    with platform() as p:
        ensure_home(p.settings)
        names = chosen(p.settings, [])
        monitor.collect_metrics(p.store, names, as_of=as_of)
        for path, _ in (
            operation.write_report(
                p.store, p.settings.reports_folder, as_of=as_of, symbols=names, rules=p.settings.signal_rules
            ),
            compare.write_report(p.store, p.settings.reports_folder, as_of=as_of),
        ):
            console.print(str(path))
