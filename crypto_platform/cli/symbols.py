"""`crypto-platform symbols`: which are known and followed, and how to change that."""

import json
from typing import Any, Final

import typer

from crypto_platform.cli.shared import AsOf, Json, chosen, console, ensure_home, moment, platform, show
from crypto_platform.errors import ConfigurationError, SourceError, SourceRefusedError, UnknownSymbolError
from crypto_platform.settings import Settings
from crypto_platform.symbols import Symbol, ended

app = typer.Typer(help="Symbols: list, add, remove, pin. Alone it lists them.", invoke_without_command=True)
RELOAD: Final = "Dagster sees it after a reload of the code location: Reload in the UI, or restart the code server."
SHOWN: Final = 10  # candidates that a message repeats
KEYS: Final = ("name", "title", "coinpaprika", "followed", "source", "since", "until", "ended")


def register(root: typer.Typer) -> None:
    """Add the command group."""
    root.add_typer(app, name="symbols")


@app.callback()
def symbols(context: typer.Context, as_json: bool = Json) -> None:
    """Known symbols, which of them are followed, and what is stored of them."""
    if context.invoked_subcommand is None:
        list_symbols(as_json)


@app.command("list")
def list_symbols(as_json: bool = Json) -> None:
    """Known symbols, which of them are followed, and what is stored of them."""
    from crypto_platform.operations import symbols as operation

    with platform() as p:
        s = p.settings
        followed = {symbol.name for symbol in s.followed}
        covered = operation.coverage(p.store, list(s.book)) if _has_store(s) else {}
        rows = []
        for name, symbol in s.book.items():
            held = covered.get(name)
            over = ended(symbol, moment(None))
            stored = (held.source, held.since, held.until) if held else (None, None, None)
            rows.append((name, symbol.title, symbol.coinpaprika, name in followed, *stored, over))
        if as_json:
            console.print_json(json.dumps([dict(zip(KEYS, row, strict=True)) for row in rows], default=_iso))
            return
        cells = [
            [name, title, coin, "followed" if is_followed else "", source, *map(_hour, (since, until, over))]
            for name, title, coin, is_followed, source, since, until, over in rows
        ]
        columns = ("symbol", "name", "CoinPaprika id", "", "candles of", "from (UTC)", "to (UTC)", "ended (UTC)")
        show("Symbols", columns, cells)


@app.command()
def add(
    name: str = typer.Argument(help="Ticker, such as XRP."),
    coinpaprika: str = typer.Option(None, help="CoinPaprika's id of the coin; looked up without it."),
    market: str = typer.Option(None, help="Its name on exchanges and indices, where that is not the ticker."),
    now: str = AsOf,
) -> None:
    """Follow a symbol; an unknown one is looked up, and asked of the candle sources, first."""
    from crypto_platform.operations import symbols as operation

    name = name.upper()
    given = {"coinpaprika": coinpaprika, "market": market.upper() if market else None}
    fields: dict[str, Any] = {"name": name} | {key: value for key, value in given.items() if value}
    with platform() as p:
        _refuse_a_list(p.settings, "add")
        ensure_home(p.settings)
        known = p.settings.book.get(name)
        if known in p.settings.followed and len(fields) == 1:
            console.print(f"{name} is followed already.")
            return
        if known is None or coinpaprika:
            fields = _identified(p, fields)
        if known is None or market:
            _require_a_source(p, _asked(fields, known), now)
        symbol = operation.choose(p.settings, fields | {"follow": True})
        console.print(f"{name} is followed from now on: {symbol.title}, CoinPaprika {symbol.coinpaprika or 'unknown'}.")
        if over := ended(symbol, moment(now)):
            console.print(f"Its market ended on {_hour(over)} UTC: there is history, and nothing to forecast.")
        console.print(RELOAD)


@app.command()
def remove(name: str = typer.Argument(help="Ticker, such as XRP.")) -> None:
    """Follow a symbol no longer; all that is stored of it stays."""
    from crypto_platform.operations import symbols as operation

    with platform() as p:
        _refuse_a_list(p.settings, "remove")
        (name,) = chosen(p.settings, [name])
        if len(p.settings.followed) == 1:
            raise ConfigurationError(f"{name} is the last symbol that is followed; add another one first")
        kept = operation.candles_stored(p.store, name) if _has_store(p.settings) else 0
        operation.choose(p.settings, {"name": name, "follow": False})
        console.print(f"{name} is no longer followed; {kept:,} candles of it stay, and all that was made of them.")
        console.print(RELOAD)


@app.command()
def pin(
    name: str = typer.Argument(help="Ticker, such as BTC."),
    source: str = typer.Argument(help="Candle source, such as binance."),
) -> None:
    """Make another source a symbol's primary one; its history is then read again from there."""
    from crypto_platform.operations import symbols as operation

    name, source = name.upper(), source.lower()
    with platform() as p:
        if name not in p.settings.book:
            raise UnknownSymbolError(name, tuple(p.settings.book))
        usable = [candidate.name for candidate in p.candle_sources]
        if source not in usable:
            raise ConfigurationError(
                f"{source!r} is not usable, {', '.join(usable)} are: give its key or list it in "
                "CRYPTO_PLATFORM_OHLCV_SOURCES"
            )
        ensure_home(p.settings)
        before = operation.pin(p.store, name, source)
        if before.source == source:
            console.print(f"{name} is pinned to {source} already.")
            return
        console.print(
            f"{name} is pinned to {source}, before to {before.source}. The next collection reads it again from "
            f"{_hour(before.since)} UTC on; hours that only {before.source} has then count as filled."
        )


def _identified(p: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Fields of a symbol with its CoinPaprika id, checked or looked up."""
    from crypto_platform.operations import symbols as operation

    name, coin = fields["name"], fields.get("coinpaprika")
    if not name.isalnum():
        raise ConfigurationError(f"{name!r} is no ticker: it has letters and digits only")
    if coin:
        try:
            refused = p.snapshot_source.fetch_snapshots([_asked(fields, None)]).rejected
        except SourceError as error:
            console.print(f"The id {coin} could not be checked: {error}.")
            return fields
        if any(row.reason == "unknown_coin" for row in refused):
            raise ConfigurationError(f"CoinPaprika knows no coin {coin!r}; correct --coinpaprika")
        return fields
    found = operation.named(p.snapshot_source.fetch_coins(), name)
    if len(found) > 1:
        show(f"Coins called {name}", ("id", "name", "rank"), [(c.id, c.name, c.rank) for c in found])
        ids = ", ".join(c.id for c in found[:SHOWN])
        raise ConfigurationError(f"{len(found)} coins are called {name} ({ids}): choose one by --coinpaprika")
    if not found:
        console.print(f"CoinPaprika lists no coin called {name}: there will be no snapshots of it.")
        return fields
    return fields | {"title": found[0].name, "coinpaprika": found[0].id}


def _require_a_source(p: Any, symbol: Symbol, now: str | None) -> None:
    """Show what each source says of a symbol's market; one must have candles of it."""
    from crypto_platform.operations import symbols as operation

    heard = operation.ask_sources(p.candle_sources, symbol, as_of=moment(now), settle=p.settings.settle)
    show(f"Candles of {symbol.market}", ("source", "what it said"), [(h.source, h.words) for h in heard])
    if not any(h.candles for h in heard):
        raise SourceRefusedError(
            f"no candle source has candles of {symbol.market} now ({', '.join(h.source for h in heard)} were asked): "
            "give its name there by --market, or list another source in CRYPTO_PLATFORM_OHLCV_SOURCES"
        )


def _asked(fields: dict[str, Any], known: Symbol | None) -> Symbol:
    """The symbol as the vendors are asked for it."""
    name = fields["name"]
    market = fields.get("market", known.market if known else name)
    return Symbol(name, name, fields.get("coinpaprika"), market, default=False)


def _refuse_a_list(settings: Settings, command: str) -> None:
    if settings.symbols:
        raise ConfigurationError(
            f"CRYPTO_PLATFORM_SYMBOLS says which symbols are followed: edit it, or unset it to use `symbols {command}`"
        )


def _has_store(settings: Settings) -> bool:
    """Whether there is anything to read: a look must not make a store."""
    return settings.database_url is not None or settings.store_file.exists()


def _hour(at: Any) -> str | None:
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else None


def _iso(at: Any) -> str:
    return str(at.isoformat())
