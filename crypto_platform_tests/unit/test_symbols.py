"""Laws of the symbols: what a file may say, whose series an hour belongs to, and an order that only grows."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.errors import ConfigurationError, UnknownSymbolError
from crypto_platform.symbols import (
    Listing,
    Symbol,
    choice_text,
    defaults,
    ended,
    load_symbols,
    merge,
    pieces,
    select,
)

HOUR = timedelta(hours=1)
START = datetime(2022, 1, 1, tzinfo=UTC)
BOOK = load_symbols()


def followed(book):
    return [symbol.name for symbol in defaults(book)]


def at(hours: int) -> datetime:
    return START + hours * HOUR


def coin(*listings: Listing) -> Symbol:
    return Symbol("NEW", "New", None, listings[-1].market if listings else "NEW", default=False, listings=listings)


# --- the shipped file


def test_at_least_twenty_are_shipped_and_the_five_of_the_design_are_followed() -> None:
    assert len(BOOK) >= 20
    assert followed(BOOK) == ["BTC", "ETH", "ADA", "SOL", "DOT"]


def test_each_shipped_symbol_has_an_id_of_its_own_in_the_form_of_the_vendor() -> None:
    ids = [symbol.coinpaprika for symbol in BOOK.values()]
    assert len(set(ids)) == len(ids)
    renamed = {"LUNC": "luna", "BTTC": "btt"}  # ids keep the ticker that a coin was listed under
    for name, symbol in BOOK.items():
        assert symbol.coinpaprika is not None
        assert symbol.coinpaprika.partition("-")[0] == renamed.get(name, name.lower())


def test_no_hour_of_a_market_belongs_to_two_shipped_symbols() -> None:
    far = (START - timedelta(days=3_000), START + timedelta(days=3_000))
    spans = sorted((p.symbol.market, p.start, p.end) for symbol in BOOK.values() for p in pieces(symbol, *far))
    for (market, _, end), (following, start, _) in itertools.pairwise(spans):
        assert market != following or end <= start


@pytest.mark.parametrize(
    ("name", "hour", "expected"),
    [
        ("MATIC", "2024-09-10T02:00Z", ("MATIC", 1.0)),
        ("MATIC", "2024-09-10T03:00Z", None),
        ("POL", "2024-09-10T02:00Z", None),
        ("POL", "2024-09-13T10:00Z", ("POL", 1.0)),
        ("LUNA", "2022-05-12T00:00Z", None),
        ("LUNA", "2022-05-31T06:00Z", ("LUNA", 1.0)),
        ("LUNC", "2022-05-12T00:00Z", ("LUNA", 1.0)),
        ("LUNC", "2022-05-20T00:00Z", None),
        ("LUNC", "2023-01-01T00:00Z", ("LUNC", 1.0)),
        ("BTTC", "2021-06-01T00:00Z", ("BTT", 1000.0)),
        ("BTTC", "2022-01-20T00:00Z", None),
        ("BTTC", "2022-01-25T04:00Z", ("BTTC", 1.0)),
        ("BUSD", "2023-12-15T03:00Z", ("BUSD", 1.0)),
        ("FTT", "2023-01-01T00:00Z", ("FTT", 1.0)),
    ],
)
def test_the_ticker_of_that_time_is_the_asset_of_that_time(name, hour, expected) -> None:
    begin = datetime.fromisoformat(hour)
    found = [(p.symbol.market, p.units) for p in pieces(BOOK[name], begin, begin + HOUR)]
    assert found == ([expected] if expected else [])


def test_what_has_ended_is_told_from_what_is_late() -> None:
    end = datetime(2023, 12, 15, 4, tzinfo=UTC)
    assert ended(BOOK["BUSD"], end) == end
    assert ended(BOOK["BUSD"], end - HOUR) is None
    assert ended(BOOK["LUNC"], end) is None
    assert ended(BOOK["FTT"], end) is None


# --- pieces of an interval


@st.composite
def listings(draw) -> tuple[Listing, ...]:
    bounds = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=8)))
    spans = [(at(a), at(b)) for a, b in zip(bounds[::2], bounds[1::2], strict=False)]
    open_start, open_end = draw(st.booleans()), draw(st.booleans())
    return tuple(
        Listing(
            f"M{n}",
            None if open_start and n == 0 else since,
            None if open_end and n == len(spans) - 1 else until,
            draw(st.sampled_from([1.0, 1000.0])),
        )
        for n, (since, until) in enumerate(spans)
    )


@given(listings(), st.integers(-10, 70), st.integers(0, 80))
def test_pieces_are_the_listed_hours_of_an_interval_and_no_others(periods, first, length) -> None:
    symbol, start, end = coin(*periods), at(first), at(first + length)
    found = pieces(symbol, start, end)
    assert all(start <= p.start < p.end <= end for p in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert all((edge - START) % HOUR == timedelta(0) for p in found for edge in (p.start, p.end))
    for hour in (start + n * HOUR for n in range(length)):
        inside = [(p.symbol.market, p.units) for p in found if p.start <= hour < p.end]
        assert inside == [
            (x.market, x.units)
            for x in periods
            if (x.since is None or x.since <= hour) and (x.until is None or hour < x.until)
        ]


@given(st.integers(-10, 70), st.integers(1, 80))
def test_a_symbol_without_listings_is_one_piece(first, length) -> None:
    (piece,) = pieces(coin(), at(first), at(first + length))
    assert (piece.start, piece.end, piece.symbol, piece.units) == (at(first), at(first + length), coin(), 1.0)


def test_a_piece_is_asked_for_under_the_name_of_its_time() -> None:
    (piece,) = pieces(BOOK["LUNC"], START, at(1))
    assert piece.symbol.pair("USDT") == "LUNAUSDT"
    assert piece.symbol.name == "LUNC"


# --- the file


def entry(text: str) -> str:
    return f'[[symbol]]\nname = "NEW"\n{text}'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (entry("coinpaprka = 'x'"), "NEW: unknown key 'coinpaprka'; known are name, title, coinpaprika, market"),
        ("symbols = []\n" + entry(""), "unknown key 'symbols'"),
        (entry("coinpaprika = 3"), "NEW: coinpaprika = 3 is no text"),
        (entry("coinpaprika = ''"), "NEW: coinpaprika = '' is no text"),
        (entry("default = 1"), "NEW: default = 1 is no true or false"),
        (entry("listings = 3"), "NEW: listings = 3 is no list"),
        (entry("listings = [3]"), "NEW: listing 3 is no table"),
        (entry("listings = [{since = 2024-01-01T00:00:00Z}]"), "NEW: a listing has no market"),
        (entry("listings = [{market = 'A', form = 2024-01-01T00:00:00Z}]"), "unknown key 'form'"),
        (entry("listings = [{market = 'A', until = '2024-01-01'}]"), "until = 2024-01-01 is no instant"),
        (entry("listings = [{market = 'A', until = 2024-01-01}]"), "until = 2024-01-01 is no instant"),
        (entry("listings = [{market = 'A', since = 2024-01-01T00:00:00}]"), "since = .* is no instant with a time"),
        (entry("listings = [{market = 'A', since = 2024-01-01T00:30:00Z}]"), "since = .* is no whole hour"),
        (entry("listings = [{market = 'A', since = 2024-01-01T00:00:00+05:30}]"), "since = .* is no whole hour"),
        (
            entry("listings = [{market = 'A', since = 2024-01-02T00:00:00Z, until = 2024-01-02T00:00:00Z}]"),
            "a listing of A ends at .*, not after its beginning",
        ),
        (
            entry(
                "listings = [{market = 'A', until = 2024-01-02T00:00:00Z},"
                " {market = 'B', since = 2024-01-01T00:00:00Z}]"
            ),
            "listings of A and B overlap",
        ),
        (
            entry("listings = [{market = 'A'}, {market = 'B', since = 2024-01-01T00:00:00Z}]"),
            "listings of A and B overlap",
        ),
        (
            entry("listings = [{market = 'A', until = 2024-01-02T00:00:00Z}, {market = 'B'}]"),
            "listings of A and B overlap",
        ),
        (entry("listings = [{market = 'A', units = 0}]"), "units = 0 is no positive number"),
        (entry("listings = [{market = 'A', units = nan}]"), "units = nan is no positive number"),
        (entry("listings = [{market = 'A', units = inf}]"), "units = inf is no positive number"),
        (entry("listings = [{market = 'A', units = true}]"), "units = True is no positive number"),
        (entry("market = 'B'\nlistings = [{market = 'A'}]"), "market 'B' is not that of the last of its listings, 'A'"),
        ("[[symbol]]\nname = 'A,B'", "letters and digits"),
        ("[[symbol]]\nname = 3", "3 must be an upper-case ticker"),
        (entry("") + "\n" + entry(""), "'NEW' is there twice; a name must be unique"),
        (entry("follow = true"), "unknown key 'follow'"),
    ],
)
def test_a_mistake_is_refused_with_file_symbol_and_key(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"mine\.toml cannot be read: .*{why}") as refused:
        load_symbols(path)
    assert "\n" not in str(refused.value)


def test_another_zone_is_read_as_utc() -> None:
    text = entry("listings = [{market = 'A', since = 2024-01-01T02:00:00+02:00}]")
    assert merge({}, text, "mine")["NEW"].listings[0].since == datetime(2024, 1, 1, tzinfo=UTC)


def test_the_market_is_that_of_the_last_listing() -> None:
    listed = "listings = [{market = 'A', until = 2024-01-01T00:00:00Z}, {market = 'B', since = 2024-01-01T00:00:00Z}]"
    assert merge({}, entry(listed), "mine")["NEW"].market == "B"


# --- what an operator chose


def test_a_choice_changes_the_fields_it_names_and_no_others() -> None:
    changed = merge(BOOK, '[[symbol]]\nname = "XRP"\ncoinpaprika = "xrp-other"', "mine")["XRP"]
    assert changed == Symbol("XRP", "XRP", "xrp-other", "XRP", default=False)
    luna = merge(BOOK, '[[symbol]]\nname = "LUNA"\ntitle = "Terra 2"', "mine")["LUNA"]
    assert luna.listings == BOOK["LUNA"].listings


def test_a_choice_may_clear_listings_but_not_contradict_them() -> None:
    assert merge(BOOK, '[[symbol]]\nname = "POL"\nlistings = []', "mine")["POL"].listings == ()
    with pytest.raises(ConfigurationError, match="POL: market 'XPOL' is not that of the last of its listings, 'POL'"):
        merge(BOOK, '[[symbol]]\nname = "POL"\nmarket = "XPOL"', "mine")


def test_new_symbols_and_newly_followed_ones_come_last() -> None:
    text = choice_text({"name": "ZZZ", "title": 'a "z"', "follow": True}) + choice_text({"name": "XRP", "follow": True})
    book = merge(BOOK, text, "mine")
    assert followed(book) == [*followed(BOOK), "ZZZ", "XRP"]
    assert book["ZZZ"].title == 'a "z"'


def test_a_choice_without_follow_follows_nothing() -> None:
    assert followed(merge(BOOK, entry(""), "mine")) == followed(BOOK)


def test_the_default_of_the_shipped_file_is_no_choice() -> None:
    with pytest.raises(ConfigurationError, match=r"mine cannot be read: XRP: unknown key 'default'.*follow"):
        merge(BOOK, '[[symbol]]\nname = "XRP"\ndefault = true', "mine")


NAMES = st.sampled_from([*list(BOOK)[:8], "NEW", "OTHER"])


@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=30))
def test_any_adding_and_removing_loses_nothing_and_keeps_the_order_of_what_stays(steps) -> None:
    text, before = "", BOOK
    for name, follow in steps:
        text += choice_text({"name": name, "follow": follow})
        book = merge(BOOK, text, "mine")
        assert set(book) == set(before) | {name}
        old, new = followed(before), followed(book)
        if follow:
            assert new == (old if name in old else [*old, name])
        else:
            assert new == [other for other in old if other != name]
        assert all(book[other] == before[other] for other in before if other != name)
        before = book


def test_a_missing_file_of_choices_is_none(tmp_path: Path) -> None:
    assert load_symbols(None, tmp_path / "gone.toml") == BOOK


def test_names_are_selected_in_the_order_of_the_book() -> None:
    assert [s.name for s in select(BOOK, ("XRP", "BTC"))] == ["BTC", "XRP"]
    with pytest.raises(UnknownSymbolError, match="`crypto-platform symbols add NOPE` looks it up"):
        select(BOOK, ("NOPE",))
