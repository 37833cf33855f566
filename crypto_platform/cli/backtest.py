"""`crypto-platform backtest`: what acting on the signals would have earned after costs."""

import json
from typing import Any

import typer

from crypto_platform.cli.shared import AsOf, Json, announce, chosen, console, moment, platform, show

Names = typer.Argument(None, help="Symbols; all followed ones without any.")
COLUMNS = ("symbol", "strategy", "return", "Sharpe [95 %]", "DSR", "max drawdown", "trades", "hit rate", "costs", "")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(backtest)


def backtest(
    names: list[str] = Names,
    source: str = typer.Option("walk-forward", "--from", help="walk-forward: validated again; logged: live forecasts."),
    shorting: bool = typer.Option(False, "--shorting", help="Let SELL be a short position, not flat."),
    now: str = AsOf,
    as_json: bool = Json,
) -> None:
    """Act on the signals at the next open, after costs, beside buy & hold and flat."""
    from crypto_platform.errors import ConfigurationError
    from crypto_platform.operations import backtest as operation

    if source not in set(operation.Source):
        raise ConfigurationError(f"--from {source!r} is not one of {', '.join(operation.Source)}")
    with platform() as p:
        s = p.settings
        tested = operation.run(
            p.store,
            chosen(s, names or []),
            as_of=moment(now),
            horizons=s.horizons,
            n_series=len(s.followed) * len(s.horizons),
            train_days=s.train_days,
            parameters=p.parameters,
            rules=s.signal_rules,
            source=operation.Source(source),
            shorting=shorting,
            feature_set=s.feature_set,
        )
        if as_json:
            console.print_json(json.dumps([one.record() for one in tested]))
            return
        announce(p)
        show("Backtest after costs", COLUMNS, [_cells(one) for one in tested])
        longest = max((one.numbers for one in tested if one.numbers), key=lambda n: n.hours, default=None)
        if longest:
            console.print(
                f"{longest.hours / 24:.0f} days: a Sharpe ratio has a standard error of {longest.sharpe_error:.1f}. "
                "DSR: probability of a true ratio above what the luckiest of these strategies would show.",
                style="dim",
            )


def _cells(one: Any) -> list[object]:
    label = f"{one.horizon} h, {one.strategy}"
    n = one.numbers
    if n is None:
        return [one.symbol, label, *[None] * 7, one.why]
    interval = f"{n.sharpe:.1f} [{n.sharpe_lower:.1f}, {n.sharpe_upper:.1f}]" if n.sharpe_lower is not None else None
    return [
        one.symbol,
        label,
        f"{n.total_return:.1%}",
        interval,
        None if n.deflated_sharpe is None else f"{n.deflated_sharpe:.2f}",
        f"{n.max_drawdown:.1%}",
        n.trades,
        None if n.hit_rate is None else f"{n.hit_rate:.0%}",
        f"{n.costs:.1%}",
        n.verdict,
    ]
