"""Laws that every feature keeps, as one call that tries them on made-up candles.

What breaks one would make forecasts that cannot be had in time, or that differ between training and serving.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from crypto_platform.core.features import LOOKBACK_ROWS, WARM_UP_ROWS, OwnFeatures, OwnFunction
from crypto_platform.core.formulas import REGISTRY
from crypto_platform.core.panel import Panel, build_panel
from crypto_platform.errors import UnlawfulFeatureError
from crypto_platform.tables import features

Floats = NDArray[np.float64]
Values = Mapping[str, Floats]

TOLERANCE: Final = 1e-9  # absolute, and relative above 1: what rounding may change
HOURS: Final = 1_100  # of the longest segment: a lookback, and what is computed after it
_PRICES: Final = ("open", "high", "low", "close")


def require_lawful(function: OwnFunction, *, code: str = "", seed: int = 7) -> OwnFeatures:
    """Refuse a function whose features break a law that the built-in ones keep.

    Parameters
    ----------
    function : callable
        From a `Panel` to a mapping of names to arrays of the panel's shape, NaN where missing.
    code : str
        Source that the features' fingerprint follows: other code, other features.
    seed : int
        Of the made-up candles.

    Returns
    -------
    OwnFeatures
        As `core.features.feature_set` takes them.

    Raises
    ------
    UnlawfulFeatureError
        Naming the feature and the law: its values are arrays of the panel's shape, finite past warm-up, the same
        whatever comes later, from `LOOKBACK_ROWS` hours before, in another unit of price or volume, and beside other
        segments; and the panel is left as it was.
    """
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', repr(function))}"
    panel = sample_panel(seed)
    own = OwnFeatures(
        _names(function, panel, name), function, f"{name}@{hashlib.sha256(code.encode()).hexdigest()[:16]}"
    )
    trial = _Trial(own, panel, np.random.default_rng(seed))
    trial.nothing_later_matters()
    trial.the_lookback_is_enough()
    trial.units_do_not_matter()
    trial.segments_are_alone()
    trial.finite_past_warm_up()
    return own


def sample_panel(seed: int) -> Panel:
    """Random walks of three segments: a whole one, one with filled hours, and a shorter one; every candle traded."""
    parts = []
    for symbol, hours, gone in (("AAA", HOURS, ()), ("BBB", HOURS, (500, 501, 800)), ("CCC", HOURS // 2, ())):
        rng = np.random.default_rng([seed, hours, len(gone)])
        close = 100 * np.exp(np.cumsum(rng.standard_t(5, hours) * 0.006))
        opened = np.r_[100, close[:-1]]
        reach = np.abs(rng.normal(0, 0.003, (2, hours)))
        frame = pd.DataFrame(
            {
                "symbol": symbol,
                "timestamp": pd.date_range("2026-01-05", periods=hours, freq="h", tz="UTC", unit="us"),
                "open": opened,
                "high": np.maximum(opened, close) * (1 + reach[0]),
                "low": np.minimum(opened, close) * (1 - reach[1]),
                "close": close,
                "volume_base": np.exp(rng.normal(3, 1, hours)),
            }
        )
        parts.append(frame.drop(index=list(gone)))
    return build_panel(pd.concat(parts, ignore_index=True))


def _names(function: OwnFunction, panel: Panel, name: str) -> tuple[str, ...]:
    given: Any = None
    try:
        given = function(_guarded(panel))
    except Exception as error:  # whatever a user's code raises
        hint = "; the panel is read-only: compute new arrays" if "read-only" in str(error) else ""
        raise UnlawfulFeatureError(f"{name} failed: {type(error).__name__}: {error}{hint}") from error
    if not isinstance(given, Mapping) or not given or not all(isinstance(key, str) for key in given):
        raise UnlawfulFeatureError(f"{name} gave a {type(given).__name__}: it is to give a dict of names to arrays")
    for key, values in given.items():
        if key in REGISTRY or key in features.c or not key.isidentifier():
            raise UnlawfulFeatureError(f"{name} names a feature {key!r}: choose an identifier that is not taken")
        if np.shape(values) != panel.shape:
            raise UnlawfulFeatureError(f"{key} of {name} has shape {np.shape(values)}, its panel {panel.shape}")
    return tuple(given)


def _guarded(panel: Panel) -> Panel:
    """A copy that cannot be written."""
    arrays = {}
    for field in Panel.__dataclass_fields__:
        arrays[field] = getattr(panel, field).copy()
        arrays[field].setflags(write=False)
    return Panel(**arrays)


class _Trial:
    """One function before the laws."""

    def __init__(self, own: OwnFeatures, panel: Panel, rng: np.random.Generator) -> None:
        self.own, self.panel, self.rng = own, panel, rng
        self.whole = self.compute(panel)
        self.inside = panel.inside

    def compute(self, panel: Panel) -> Values:
        return self.own.compute(_guarded(panel))

    def require(self, law: str, values: Values, expected: Callable[[Floats], Floats], where: Any = slice(None)) -> None:
        """Raise with the law's name where values are not what the whole panel gave."""
        for name, seen in values.items():
            wanted = expected(self.whole[name])
            close = np.isclose(seen, wanted, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
            if not close[where].all():
                at = np.argwhere(~close & _mask(close.shape, where))[0]
                raise UnlawfulFeatureError(
                    f"{name} of {self.own.fingerprint} breaks a law: {law} (at hour {at[1]} of a segment it is "
                    f"{seen[tuple(at)]:.6g}, not {wanted[tuple(at)]:.6g})"
                )

    def finite_past_warm_up(self) -> None:
        """Else no row would ever be valid."""
        warm = self.inside & (np.arange(self.panel.shape[1]) >= WARM_UP_ROWS) & ~self.panel.is_filled
        for name, values in self.whole.items():
            if not np.isfinite(values[warm]).all():
                raise UnlawfulFeatureError(
                    f"{name} of {self.own.fingerprint} breaks a law: it has a value at every ordinary hour after "
                    f"{WARM_UP_ROWS} (here {np.isnan(values[warm]).mean():.0%} are missing or infinite)"
                )

    def nothing_later_matters(self) -> None:
        """Neither that later hours are there, nor what they are."""
        for cut in (WARM_UP_ROWS + 5, 620, HOURS - 1):
            width = slice(0, cut)
            part = _columns(self.panel, width)
            self.require("withholding later hours changes nothing", self.compute(part), lambda v, w=width: v[:, w])  # type: ignore[misc]
            self.require(
                "whatever happens later changes nothing",
                {name: values[:, width] for name, values in self.compute(self._scrambled(cut)).items()},
                lambda v, w=width: v[:, w],  # type: ignore[misc]
            )

    def _scrambled(self, cut: int) -> Panel:
        later = np.arange(self.panel.shape[1]) >= cut
        noise = np.exp(self.rng.normal(0, 2, self.panel.shape))
        changed = {
            name: np.where(later & self.inside, getattr(self.panel, name) * noise, getattr(self.panel, name))
            for name in (*_PRICES, "volume")
        }
        return replace(self.panel, **changed)

    def the_lookback_is_enough(self) -> None:
        """What the newest hours give from a lookback alone is what the whole history gives."""
        start = HOURS - LOOKBACK_ROWS - 24
        recent = np.arange(self.panel.shape[1] - start) >= LOOKBACK_ROWS
        law = f"{LOOKBACK_ROWS} hours before an hour are enough to compute it"
        part = self.compute(self.panel.since(start))
        self.require(law, part, lambda v: v[:, start:], recent & self.inside[:, start:])

    def units_do_not_matter(self) -> None:
        """Not powers of two: the digits change."""
        for names, factor, law in (
            (_PRICES, 3.7e-3, "prices in another unit change nothing"),
            (("volume",), 8.9e4, "volumes in another unit change nothing"),
        ):
            scaled = replace(self.panel, **{name: getattr(self.panel, name) * factor for name in names})
            self.require(law, self.compute(scaled), lambda v: v)

    def segments_are_alone(self) -> None:
        """Each gives the same beside others and alone, where it is not padded."""
        for row, length in enumerate(self.panel.lengths):
            alone = _columns(_rows(self.panel, row), slice(0, int(length)))
            self.require(
                "a segment knows nothing of the others",
                self.compute(alone),
                lambda v, r=row, n=length: v[r : r + 1, :n],  # type: ignore[misc]
            )


def _mask(shape: tuple[int, ...], where: Any) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[where] = True
    return mask


def _rows(panel: Panel, row: int) -> Panel:
    return Panel(**{name: getattr(panel, name)[row : row + 1] for name in Panel.__dataclass_fields__})


def _columns(panel: Panel, columns: slice) -> Panel:
    """The first hours of each segment."""
    arrays = {name: getattr(panel, name) for name in Panel.__dataclass_fields__}
    cut = {name: values[:, columns] if values.ndim == 2 else values for name, values in arrays.items()}
    return Panel(**cut | {"lengths": np.minimum(panel.lengths, columns.stop)})
