"""Laws of the rules that a table's constraints become."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError

from crypto_platform.storage.engines import open_engine
from crypto_platform.tables import market_data, metadata, ohlcv_data
from crypto_platform.tables.render.frames import broken_rules

NUMBERS = ("open", "high", "low", "close", "volume_base", "volume", "trades")
cells = st.sampled_from([1.0, 2.0, 3.0, 0.0, -1.0])
MISSING = st.sampled_from([1.0, None])


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    engine = open_engine(f"sqlite:///{Path(tmp_path_factory.mktemp('rules')) / 'store.db'}")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@given(st.tuples(*[cells] * 5), st.tuples(MISSING, MISSING))
def test_a_candle_is_sound_exactly_where_the_database_takes_it(engine, numbers, optional) -> None:
    values = dict(zip(NUMBERS, (*numbers, *optional), strict=True))
    sound = broken_rules(ohlcv_data, pd.DataFrame([values], dtype=float))[0] == ""
    stamp = pd.Timestamp("2026-01-01", tz="UTC").to_pydatetime()
    row = values | {"symbol": "BTC", "timestamp": stamp, "source": "x", "known_at": stamp}
    with engine.connect() as connection:  # never committed
        try:
            connection.execute(ohlcv_data.insert().values(row))
            taken = True
        except IntegrityError:
            taken = False
    assert sound == taken


def test_a_missing_number_is_refused_only_where_the_column_wants_one() -> None:
    row = dict.fromkeys(NUMBERS, 1.0)
    for name in NUMBERS:
        reason = broken_rules(ohlcv_data, pd.DataFrame([row | {name: np.nan}]))[0]
        assert bool(reason) == (not ohlcv_data.c[name].nullable), name
        assert broken_rules(ohlcv_data, pd.DataFrame([row | {name: np.inf}]))[0].startswith("non_finite")


def test_only_rules_of_the_given_columns_are_applied() -> None:
    frame = pd.DataFrame({"price_usd": [1.0, 0.0, np.nan]})
    assert broken_rules(market_data, frame).tolist() == ["", "non_positive_price_usd", ""]
