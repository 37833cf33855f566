"""The laws of features refuse who breaks them, each by its name."""

from collections.abc import Callable

import numpy as np
import pytest

from crypto_platform.core import formulas
from crypto_platform.core.features import DEFAULT, feature_set
from crypto_platform.core.indicators import windows as w
from crypto_platform.core.laws import require_lawful
from crypto_platform.core.panel import Panel
from crypto_platform.errors import UnlawfulFeatureError
from crypto_platform.tables.features import PARTS

Values = dict[str, np.ndarray]


def lawful(panel: Panel) -> Values:
    return {"range_5": w.mean(panel.high / panel.low - 1, 5), "thirst": w.ln(panel.close / w.ema(panel.close, 9))}


def _mutating(panel: Panel) -> Values:
    panel.close[:, 0] = 1.0
    return {"x": panel.close / panel.open}


BREAKERS: dict[str, tuple[str, Callable[[Panel], object]]] = {
    "tomorrow": ("later", lambda p: {"x": np.roll(p.close, -1, axis=1) / p.close}),
    "mean of all time": ("later", lambda p: {"x": p.close / np.nanmean(p.close, axis=1, keepdims=True)}),
    "price level": ("prices in another unit", lambda p: {"x": p.close}),
    "volume level": ("volumes in another unit", lambda p: {"x": np.log1p(p.volume)}),
    "since the beginning": ("hours before an hour", lambda p: {"x": w.ln(p.close / p.close[:, :1])}),
    "other segments": (
        "nothing of the others",
        lambda p: {"x": p.close / p.open + np.nan_to_num(p.close / p.open).max(axis=0)},
    ),
    "writing": ("read-only", _mutating),
    "infinite": ("missing or infinite", lambda p: {"x": (p.close - p.open) / np.zeros_like(p.close)}),
    "never there": ("missing or infinite", lambda p: {"x": np.full(p.shape, np.nan)}),
    "shape": ("has shape", lambda p: {"x": p.close[0]}),
    "taken name": ("not taken", lambda p: {"rsi_14": p.close / p.open}),
    "column name": ("not taken", lambda p: {"is_valid": p.close / p.open}),
    "no names": ("dict of names", lambda p: p.close / p.open),
    "bug": ("ZeroDivisionError", lambda p: {"x": 1 / 0}),
}


@pytest.mark.parametrize("name", BREAKERS)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value", "ignore:Mean of empty slice")
def test_a_breaker_is_refused_with_the_law_it_breaks(name: str) -> None:
    law, function = BREAKERS[name]
    with pytest.raises(UnlawfulFeatureError, match=law):
        require_lawful(function)  # type: ignore[arg-type]


def test_the_built_in_features_keep_the_laws_of_a_users_own() -> None:
    """All that are made of candles; those of the clock too, since a calendar moves with no candle."""
    thin = {"volume_sma_ratio_7", "volume_z_24", "volume_z_168", "vwap_ratio_24", "mfi_14"}

    def candles(panel: Panel) -> Values:
        inputs = formulas.Inputs(panel)
        return {f"own_{n}": formulas.REGISTRY[n].formula(inputs) for n in PARTS["candles"] if n not in thin}

    assert len(require_lawful(candles).names) == len(PARTS["candles"]) - len(thin)


def test_other_code_is_another_set() -> None:
    first, second = (feature_set(["candles"], require_lawful(lawful, code=code)) for code in ("a", "b"))
    assert first.features[-2:] == ("range_5", "thirst")
    assert len({first.hash, second.hash, feature_set(["candles"]).hash, DEFAULT.hash}) == 4
    assert first.of(first.features).hash == first.hash
    assert first.of(first.features[:-2]).hash == feature_set(["candles"]).hash
