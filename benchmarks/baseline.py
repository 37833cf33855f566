"""The hourly tick as a first working platform does it: one row, one statement; everything computed again.

Written to the behavior of a pipeline of ten pandas tasks, not to be slow: plain sqlite3 without an ORM, one commit a
symbol and task, durability as the platform's own store. Candles are of the last day; indicators of the last 90 days
are recomputed and 1,440 feature rows a symbol upserted each hour; three pickled models are loaded for each row that
is forecast; accuracy comes from joining all forecasts with all candles. As the platform's own, its numerics run on one
thread: scikit-learn's default is ten times slower beside a busy neighbor, which would flatter the ratio.
"""

import pickle
import sqlite3
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from benchmarks.world import NOW, World
from crypto_platform.core.estimators import ModelParameters, TrainingSet, fit
from crypto_platform.core.hours import HOUR
from crypto_platform.core.panel import hours_since_1970
from crypto_platform.core.signals import CLASSIFIERS

CANDLE_ROWS: Final = 24
INDICATOR_DAYS: Final = 90
FEATURE_ROWS: Final = 1_440
TRAIN_ROWS: Final = 720
PAST_FORECASTS: Final = 168

_CANDLES: Final = ("open", "high", "low", "close", "volume_base")
STEPS: Final = ("collect", "features", "predict", "settle")


def indicators(candles: pd.DataFrame) -> pd.DataFrame:
    """Classic indicators of hourly candles, one row each; NaN until their windows are full."""
    close, high, low, volume = (candles[name] for name in ("close", "high", "low", "volume_base"))
    change = close.diff()
    returns = close.pct_change()
    out: dict[str, pd.Series] = {f"return_{k}": close.pct_change(k) for k in (1, 3, 6, 12, 24)}
    for n in (7, 14, 30):
        out[f"sma_{n}"] = close.rolling(n).mean()
        out[f"ema_{n}"] = close.ewm(span=n, adjust=False).mean()
        out[f"vol_{n}"] = returns.rolling(n).std()
    gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = (-change).clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    out["rsi_14"] = 100 - 100 / (1 + gain / loss)
    out["macd"] = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    out["macd_signal"] = out["macd"].ewm(span=9, adjust=False).mean()
    middle, spread = close.rolling(20).mean(), close.rolling(20).std()
    out["bollinger_upper"], out["bollinger_lower"] = middle + 2 * spread, middle - 2 * spread
    ranges = pd.concat([high - low, (high - close.shift()).abs(), (low - close.shift()).abs()], axis=1)
    out["atr_14"] = ranges.max(axis=1).rolling(14).mean()
    out["volume_ratio"] = volume / volume.rolling(7).mean()
    return pd.DataFrame(out)


FEATURES: Final = tuple(indicators(pd.DataFrame({name: [1.0] for name in _CANDLES})).columns)


def upsert_statement(table: str, key: tuple[str, ...], values: tuple[str, ...], mark: str = "?") -> str:
    """Insert a row, or refresh its values where the key is there; `mark` is the driver's sign of a parameter."""
    marks = ", ".join([mark] * (len(key) + len(values)))
    refreshed = ", ".join(f"{name} = excluded.{name}" for name in values)
    return (
        f"INSERT INTO {table} ({', '.join(key + values)}) VALUES ({marks}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {refreshed}"
    )


_KEY: Final = ("symbol", "hour")
_FORECAST: Final = ("direction", "probability")
SAVE_CANDLE: Final = upsert_statement("candles", _KEY, _CANDLES)
SAVE_FEATURES: Final = upsert_statement("features", _KEY, FEATURES)
SAVE_FORECAST: Final = upsert_statement("forecasts", _KEY, _FORECAST)
SAVE_ACCURACY: Final = upsert_statement("accuracy", ("symbol",), ("value", "n"))
JOIN: Final = """
    SELECT f.symbol, f.direction, then_.close AS before, later.close AS after
    FROM forecasts f
    JOIN candles then_ ON then_.symbol = f.symbol AND then_.hour = f.hour
    JOIN candles later ON later.symbol = f.symbol AND later.hour = f.hour + 1
"""


class Baseline:
    """A store and model files under `folder`, filled up to `NOW`."""

    def __init__(self, folder: Path, world: World, parameters: ModelParameters) -> None:
        self._world, self._models = world, folder / "models"
        self._db = sqlite3.connect(folder / "baseline.db")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        for table, key, values in (
            ("candles", _KEY, _CANDLES),
            ("features", _KEY, FEATURES),
            ("forecasts", _KEY, _FORECAST),
            ("accuracy", ("symbol",), ("value", "n")),
        ):
            self._db.execute(f"CREATE TABLE {table} ({', '.join(key + values)}, PRIMARY KEY ({', '.join(key)}))")
        for name in world.names:
            frame = world.between(name, NOW - timedelta(days=world.days), NOW)
            self._db.executemany(SAVE_CANDLE, _candle_rows(name, frame))
            hours = hours_since_1970(frame["timestamp"])[-PAST_FORECASTS:].tolist()
            self._db.executemany(SAVE_FORECAST, [(name, hour, hour % 2, 0.5) for hour in hours])
        self._db.commit()
        self._save_models(parameters)
        self._features(world.names)  # each measured hour finds the rows of the hour before

    def close(self) -> None:
        """Close the store."""
        self._db.close()

    def count(self, table: str) -> int:
        """Rows of a table."""
        return int(self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])

    def tick(self, as_of: datetime) -> dict[str, float]:
        """Seconds of each step of one hour's work."""
        end = as_of.replace(minute=0)
        fetched = {name: self._world.between(name, end - CANDLE_ROWS * HOUR, end) for name in self._world.names}
        seconds, moment = {}, time.perf_counter()
        for step, work in (
            ("collect", lambda: self._collect(fetched)),
            ("features", lambda: self._features(self._world.names)),
            ("predict", lambda: self._predict(self._world.names)),
            ("settle", self._settle),
        ):
            with threadpool_limits(1):
                work()
            seconds[step] = time.perf_counter() - moment
            moment = time.perf_counter()
        return seconds

    def _collect(self, fetched: dict[str, pd.DataFrame]) -> None:
        for name, frame in fetched.items():
            for row in _candle_rows(name, frame):
                self._db.execute(SAVE_CANDLE, row)
            self._db.commit()

    def _features(self, names: list[str]) -> None:
        for name in names:
            candles = pd.read_sql_query(
                f"SELECT * FROM (SELECT hour, {', '.join(_CANDLES)} FROM candles WHERE symbol = ? "
                "ORDER BY hour DESC LIMIT ?) ORDER BY hour",
                self._db,
                params=(name, INDICATOR_DAYS * 24),
            )
            frame = indicators(candles).assign(hour=candles["hour"]).tail(FEATURE_ROWS)
            for _, row in frame.iterrows():
                self._db.execute(SAVE_FEATURES, (name, int(row["hour"]), *(float(row[column]) for column in FEATURES)))
            self._db.commit()

    def _predict(self, names: list[str]) -> None:
        for name in names:
            hour, *values = self._db.execute(
                f"SELECT hour, {', '.join(FEATURES)} FROM features WHERE symbol = ? ORDER BY hour DESC LIMIT 1", (name,)
            ).fetchone()
            chances = []
            for model in CLASSIFIERS:
                loaded = pickle.loads((self._models / f"{name}_{model}.pkl").read_bytes())
                chances.append(loaded.predict_proba(np.array([values]))[0, 1])
            chance = float(np.mean(chances))
            self._db.execute(SAVE_FORECAST, (name, hour, int(chance > 0.5), chance))
            self._db.commit()

    def _settle(self) -> None:
        rows = pd.read_sql_query(JOIN, self._db)
        correct = (rows["after"] > rows["before"]) == (rows["direction"] == 1)
        for name, mine in correct.groupby(rows["symbol"]):
            self._db.execute(SAVE_ACCURACY, (name, float(mine.mean()), len(mine)))
        self._db.commit()

    def _save_models(self, parameters: ModelParameters) -> None:
        """Models of the platform's sizes, fitted once, in files of each symbol's own."""
        first = self._world.names[0]
        candles = self._world.between(first, NOW - timedelta(days=self._world.days), NOW)
        returns = candles["close"].shift(-1) / candles["close"] - 1
        frame = indicators(candles).assign(returns=returns, timestamp=candles["timestamp"]).dropna().tail(TRAIN_ROWS)
        rows = TrainingSet(
            hours=hours_since_1970(frame["timestamp"]),
            inputs=frame[list(FEATURES)].to_numpy(float),
            returns=frame["returns"].to_numpy(float),
            directions=(frame["returns"] > 0).to_numpy().astype(np.int64),
            feature_names=FEATURES,
            horizon=1,
        )
        models = fit(rows, parameters).models
        self._models.mkdir()
        for model in CLASSIFIERS:
            content = pickle.dumps(models[model])
            for name in self._world.names:
                (self._models / f"{name}_{model}.pkl").write_bytes(content)


def _candle_rows(name: str, frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    hours = hours_since_1970(frame["timestamp"]).tolist()
    return [(name, *row) for row in zip(hours, *(frame[column].tolist() for column in _CANDLES), strict=True)]
