"""How good a series of returns was, how sure that is, and what may be said of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crypto_platform.core.backtest import Backtest
from crypto_platform.core.bootstrap import Resample, block_length, interval
from crypto_platform.core.signals import BASIS_POINT

Floats = NDArray[np.float64]

HOURS_A_YEAR: Final = 8_760
HOURS_A_DAY: Final = 24
MIN_DAYS: Final = 90  # below which a Sharpe ratio has a standard error of two or more
SURE: Final = 0.95
TOO_SHORT: Final = "too short to say"
NOTHING_SHOWN: Final = "no profit shown"
LOST: Final = "lost money"
SHOWN: Final = "profit after costs shown"


@dataclass(frozen=True, slots=True)
class Performance:
    """Numbers of one strategy; None where one is not defined.

    Attributes
    ----------
    hours : int
        From the first open to the last.
    total_return, annual_return, annual_volatility, sharpe : float
        After costs. Sharpe: of simple hourly returns, no riskless rate, times the root of 8,760.
    sharpe_lower, sharpe_upper : float or None
        95 % interval, stationary bootstrap.
    probabilistic_sharpe, deflated_sharpe : float or None
        Probability that the true Sharpe ratio is above 0, and above what the best of `n_tried` useless ones would show.
    max_drawdown : float
        Largest fall from a peak, as a fraction of it.
    drawdown_hours : int
        From that peak until it was reached again, or to the end.
    turnover : float
        Sum of |changes of exposure| a day.
    exposure : float
        Mean |exposure|.
    trades : int
    hit_rate : float or None
        Share of trades that earned something after costs.
    profit_factor : float or None
        Sum of the trades' gains over the sum of their losses.
    costs : float
        Sum of what was paid, as a fraction of the equity of its moment.
    cost_share : float or None
        Costs over the sum of returns before them; None where there was nothing to pay them from.
    break_even_bps : float or None
        Cost of one side, in basis points, at which nothing is left; None without a trade.
    gap_hours : int
        Hours without a candle that a position was held through.
    """

    hours: int
    total_return: float
    annual_return: float
    annual_volatility: float
    sharpe: float | None
    sharpe_lower: float | None
    sharpe_upper: float | None
    probabilistic_sharpe: float | None
    deflated_sharpe: float | None
    max_drawdown: float
    drawdown_hours: int
    turnover: float
    exposure: float
    trades: int
    hit_rate: float | None
    profit_factor: float | None
    costs: float
    cost_share: float | None
    break_even_bps: float | None
    gap_hours: int

    @property
    def sharpe_error(self) -> float:
        """Standard error of a Sharpe ratio near 0 over this time: 3.5 for 30 days, 1.0 for a year."""
        return float(np.sqrt(HOURS_A_YEAR / self.hours))

    @property
    def verdict(self) -> str:
        """What the interval and the number of attempts allow to say."""
        if self.hours < MIN_DAYS * HOURS_A_DAY or self.sharpe_lower is None or self.sharpe_upper is None:
            return TOO_SHORT
        if self.sharpe_upper < 0:
            return LOST
        sure = self.deflated_sharpe is not None and self.deflated_sharpe >= SURE
        return SHOWN if self.sharpe_lower > 0 and sure else NOTHING_SHOWN


def assess(tested: Backtest, horizon: int, seed: int, n_tried: int = 1) -> Performance:
    """Numbers of a backtest.

    Parameters
    ----------
    tested : Backtest
    horizon : int
        Hours a call holds, for the block of the bootstrap.
    seed : int
    n_tried : int
        Strategies that were looked at before this one was, itself included.
    """
    net = tested.net
    hours = int(tested.hours[-1] - tested.hours[0]) + 1
    equity = np.r_[1.0, tested.equity]
    fall, length = drawdown(equity)
    trades = trade_returns(tested)
    gains, losses = float(trades[trades > 0].sum()), float(-trades[trades < 0].sum())
    paid, earned = float(tested.cost * tested.change.sum()), float(tested.gross.sum())
    ratio, lower, upper = sharpe_interval(net, horizon, seed)
    in_gaps = np.diff(np.r_[tested.hours, tested.hours[-1] + 1]) - 1
    return Performance(
        hours=hours,
        total_return=float(equity[-1] - 1),
        annual_return=float(np.expm1(np.log(equity[-1]) * HOURS_A_YEAR / hours)),
        annual_volatility=float(net.std() * np.sqrt(HOURS_A_YEAR)),
        sharpe=ratio,
        sharpe_lower=lower,
        sharpe_upper=upper,
        probabilistic_sharpe=probabilistic_sharpe(net),
        deflated_sharpe=probabilistic_sharpe(net, best_of_luck(n_tried, 1 / len(net))),
        max_drawdown=fall,
        drawdown_hours=length,
        turnover=float(tested.change.sum() / hours * HOURS_A_DAY),
        exposure=float(np.abs(tested.exposure).mean()),
        trades=len(trades),
        hit_rate=float((trades > 0).mean()) if len(trades) else None,
        profit_factor=gains / losses if losses > 0 else None,
        costs=paid,
        cost_share=paid / earned if earned > 0 else None,
        break_even_bps=break_even(tested),
        gap_hours=int(in_gaps[(tested.exposure != 0) & tested.spans_gap].sum()),
    )


def drawdown(equity: Floats) -> tuple[float, int]:
    """Largest fall from a peak, and the steps from that peak until it was reached again or the end.

    Examples
    --------
    >>> drawdown(np.array([1.0, 2.0, 1.0, 1.5, 2.0, 3.0]))
    (0.5, 3)
    """
    peaks = np.maximum.accumulate(equity)
    falls = 1 - equity / peaks
    deepest = int(falls.argmax())
    if falls[deepest] <= 0:
        return 0.0, 0
    peak = int(np.flatnonzero(equity[: deepest + 1] == peaks[deepest])[-1])
    again = np.flatnonzero(equity[deepest:] >= peaks[deepest])
    end = deepest + int(again[0]) if len(again) else len(equity) - 1
    return float(falls[deepest]), end - peak


def trade_returns(tested: Backtest) -> Floats:
    """Return of each trade after both its costs: a stretch of one exposure that is not 0, shape (trades,)."""
    edges = np.flatnonzero(np.diff(np.r_[0.0, tested.exposure, 0.0]))
    first = [i for i in edges if i < len(tested.exposure) and tested.exposure[i] != 0]
    ends = [int(edges[edges > i][0]) for i in first]
    # A turn from long to short is two trades; each pays for its own side of it.
    return np.array(
        [
            np.prod(1 + tested.gross[i:j]) * (1 - tested.cost * abs(tested.exposure[i])) ** 2 - 1
            for i, j in zip(first, ends, strict=True)
        ]
    )


def sharpe_interval(net: Floats, horizon: int, seed: int) -> tuple[float | None, float | None, float | None]:
    """Annualized Sharpe ratio of hourly returns, and its 95 % interval; None where returns do not vary."""
    if net.std() < 1e-15:
        return None, None, None
    means = Resample.stationary(len(net), block_length(horizon), seed).means(np.column_stack([net, net**2]))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = means[:, 0] / np.sqrt(np.maximum(means[:, 1] - means[:, 0] ** 2, 0)) * np.sqrt(HOURS_A_YEAR)
    lower, upper = interval(ratios) or (None, None)
    return float(ratios[0]), lower, upper


def probabilistic_sharpe(net: Floats, above: float = 0.0) -> float | None:
    """Probability that the true Sharpe ratio of one interval exceeds `above`, given skewness and kurtosis.

    References
    ----------
    Bailey & Lopez de Prado (2012), The Sharpe ratio efficient frontier, Journal of Risk 15 (2), eq. 8.
    """
    from scipy.stats import kurtosis, skew  # noqa: PLC0415

    if len(net) < 2 or net.std() < 1e-15:
        return None
    return sharpe_probability(
        float(net.mean() / net.std()), len(net), float(skew(net)), float(kurtosis(net, fisher=False)), above
    )


def sharpe_probability(ratio: float, n: int, skewness: float, kurt: float, above: float) -> float:
    """The formula of `probabilistic_sharpe`; `kurt` is 3 for a normal distribution."""
    from scipy.special import ndtr  # noqa: PLC0415

    spread = np.sqrt(1 - skewness * ratio + (kurt - 1) / 4 * ratio**2)
    return float(ndtr((ratio - above) * np.sqrt(n - 1) / spread))


def best_of_luck(n_tried: int, variance: float) -> float:
    """Expected largest Sharpe ratio of `n_tried` useless strategies whose ratios vary by `variance`.

    References
    ----------
    Bailey & Lopez de Prado (2014), The deflated Sharpe ratio, Journal of Portfolio Management 40 (5), eq. 9.
    """
    from scipy.special import ndtri  # noqa: PLC0415

    if n_tried < 2:
        return 0.0
    quantiles = ndtri(1 - 1 / n_tried), ndtri(1 - 1 / (n_tried * np.e))
    return float(np.sqrt(variance) * ((1 - np.euler_gamma) * quantiles[0] + np.euler_gamma * quantiles[1]))


def break_even(tested: Backtest) -> float | None:
    """Cost of one side in basis points at which the equity ends where it began; 0 where it lost before costs."""
    from scipy.optimize import brentq  # noqa: PLC0415

    traded = tested.change[tested.change > 0]
    if not len(traded):
        return None
    earned = float(np.log1p(tested.gross).sum())
    if earned <= 0:
        return 0.0
    ruin = (1 - 1e-9) / float(traded.max())
    return float(brentq(lambda cost: earned + np.log1p(-cost * traded).sum(), 0.0, ruin)) / BASIS_POINT
