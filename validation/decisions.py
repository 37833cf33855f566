"""False alarms, power and delays of A/B tests, CUSUM and drift, with the classic rules beside them."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from crypto_platform.core.accuracy import COIN, wilson_interval
from crypto_platform.core.calibrated import CalibratedRules, accuracy_alarms
from crypto_platform.core.drift import REFERENCE_HOURS, WINDOW_HOURS, Drift, measure
from crypto_platform.core.eprocess import interleaved
from crypto_platform.core.retraining import ClassicRules, standardized_shift

SEED: Final = 20_260_101
ALPHA: Final = 0.05
LOOK: Final = 2  # hours between two looks at an experiment
DAY: Final = 24
CLASSIC: Final = ClassicRules()
COMMAND: Final = "python -m validation decisions"


def run() -> str:
    """Every simulation, as the Markdown of `docs/decisions-validated.md`."""
    made = (experiments, accuracy, drift)
    parts = [part(np.random.default_rng([SEED, number])) for number, part in enumerate(made)]
    head = [
        "# Decisions, validated",
        "",
        f"Made by `{COMMAND}` (seed {SEED}). Shares have 95 % Wilson intervals over independent",
        "simulations.",
        "",
    ]
    return "\n".join([*head, *("\n".join(part) + "\n" for part in parts)]).rstrip()


def share(hits: Sequence[bool]) -> str:
    """A share of simulations with its interval."""
    n, k = len(hits), sum(map(bool, hits))
    low, high = wilson_interval(k / n, n)
    return f"{k / n:.1%} [{low:.1%}, {high:.1%}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def middle(values: Sequence[float], unit: str = "d") -> str:
    """Median and the middle 80 % of delays."""
    if not len(values):
        return "–"
    low, mid, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"{mid:.1f} {unit} ({low:.1f} to {high:.1f})"


# Experiments


def differences(rng: np.random.Generator, n: int, horizon: int, p_a: float, p_b: float, symbols: int) -> np.ndarray:
    """Hourly mean differences of correctness of two arms, shape (n,).

    Equal arms hold opinions that last for hours and know nothing, about returns that the symbols share in part; labels
    of `horizon` hours overlap. Unequal ones are right by chance, each with its probability.
    """
    if p_a != p_b:
        right_a, right_b = (rng.random((n, symbols)) < p for p in (p_a, p_b))
    else:
        returns = rng.normal(size=(n + horizon, symbols)) + rng.normal(size=(n + horizon, 1))
        summed = returns.cumsum(axis=0)
        up = summed[horizon:] > summed[:-horizon]
        right_a, right_b = (_opinions(rng, n, symbols) == up for _ in range(2))
    return np.asarray((right_a.astype(float) - right_b).mean(axis=1))


def _opinions(rng: np.random.Generator, n: int, symbols: int) -> np.ndarray:
    """Coins that are tossed again every ten hours on average."""
    tossed = rng.random((n, symbols)) < 0.1
    tossed[0] = True
    last = np.maximum.accumulate(np.where(tossed, np.arange(n)[:, None], 0), axis=0)
    return np.asarray(np.take_along_axis(rng.random((n, symbols)) < 0.5, last, axis=0))


def experiments(rng: np.random.Generator, runs: int = 300, hours: int = 90 * DAY) -> list[str]:
    """A/A and A/B under a look every two hours."""
    rows = []
    for horizon, p_a, p_b, symbols in ((1, 0.5, 0.5, 5), (7, 0.5, 0.5, 5), (1, 0.55, 0.5, 1), (1, 0.55, 0.5, 5)):
        found: dict[str, list[bool]] = {"bets": [], "strict": [], "naive": []}
        days = []
        for _ in range(runs):
            d = differences(rng, hours, horizon, p_a, p_b, symbols)
            paths = interleaved(d, np.arange(hours), horizon)[:, 72 - 1 :: LOOK]
            evidence = logsumexp(paths, axis=0) - np.log(horizon)
            reached = evidence >= np.log(1 / ALPHA)
            found["bets"].append(bool(reached.any()))
            found["strict"].append(bool((paths >= np.log(horizon / ALPHA)).any()))
            found["naive"].append(_naive(d))
            if reached.any():
                days.append((72 + LOOK * int(reached.argmax())) / DAY)
        what = "equal arms" if p_a == p_b else f"{p_a:.0%} against {p_b:.0%}"
        rows.append(
            [what, f"{horizon} h", str(symbols), *(share(found[k]) for k in ("bets", "strict", "naive")), middle(days)]
        )
    head = ("arms", "ahead", "symbols", "e-value ≥ 20", "strict variant", "t-test at each look", "time to the decision")
    return [
        "## A/B tests",
        "",
        f"{runs} experiments of {hours // DAY} days, looked at every {LOOK} hours from hour 72 on, α = {ALPHA}: share",
        "in which some look named a winner. Median time, and the middle 80 %, of those that did.",
        "",
        *table(head, rows),
    ]


def _naive(d: np.ndarray) -> bool:
    """Whether a fixed-horizon test at the level α, repeated at each look, ever rejects."""
    n = np.arange(1, len(d) + 1)
    mean = d.cumsum() / n
    deviation = np.sqrt(np.maximum((d**2).cumsum() / n - mean**2, 1e-12) / n)
    return bool((np.abs(mean / deviation)[72 - 1 :: LOOK] > norm.isf(ALPHA / 2)).any())


# Accuracy


def accuracy(rng: np.random.Generator, runs: int = 300) -> list[str]:
    """Run lengths of the deployed rule, of its CUSUM alone, and of the classic threshold, judged every six hours."""
    longest = 720 * DAY
    rows = []
    for p in (0.50, 0.48, 0.45, 0.42, 0.40):
        cells = []
        for alarm in (
            partial(_cusum_alarm, n_series=1),
            *(partial(_alarm, n_series=n) for n in (1, 5)),
            _classic_alarm,
        ):
            days = np.array([alarm(rng.random(longest) < p) for _ in range(runs)]) / DAY
            week = share((days <= 7).tolist())
            error = 1.96 * days.std() / np.sqrt(runs)
            cells += [f"{days.mean():.0f} ± {error:.0f} d" if error >= 0.5 else f"{days.mean():.1f} d", week]
        rows.append([f"{p:.0%}", *cells])
    rules = ("CUSUM alone, one series", "CUSUM or bound, one series", "CUSUM or bound, of five", "below 48 % of 72 h")
    head = ("accuracy", *(cell for rule in rules for cell in (rule, "within 7 d")))
    return [
        "## Accuracy",
        "",
        f"Time to the first alarm from the promotion on, one outcome an hour, held to 50 %; {runs} models of each",
        "accuracy, followed for at most 720 days, judged every 6 hours. Mean with its 95 % interval; the share that",
        "alarms within a week. The first row is a coin: every alarm of it is false. `CUSUM or bound` is the rule that",
        "decides; of five series each has its share of one budget.",
        "",
        *table(head, rows),
    ]


def _alarm(correct: np.ndarray, n_series: int) -> int:
    """Hour of the first look at which the deployed rule is an alarm."""
    rules = CalibratedRules(n_series=n_series)
    return _first_look(np.logical_or(*accuracy_alarms(correct, COIN, rules)))


def _cusum_alarm(correct: np.ndarray, n_series: int) -> int:
    return _first_look(accuracy_alarms(correct, COIN, CalibratedRules(n_series=n_series))[0])


def _first_look(alarms: np.ndarray) -> int:
    seen = alarms[6 - 1 :: 6]
    return 6 * (int(seen.argmax()) + 1) if seen.any() else len(alarms)


def _classic_alarm(correct: np.ndarray) -> int:
    n = CLASSIC.window_hours
    sums = np.r_[0, correct.cumsum()]
    over = ((sums[n:] - sums[:-n]) / n < CLASSIC.min_accuracy)[::6]
    return n + 6 * int(over.argmax()) if over.any() else len(correct)


# Drift


def garch(rng: np.random.Generator, n: int, runs: int) -> np.ndarray:
    """Returns of GARCH(1, 1) markets with fat tails, shape (n, runs); volatility forgets half in a week."""
    alpha, beta = 0.04, 0.956
    variance, returns = np.ones(runs), np.empty((n, runs))
    shocks = rng.standard_t(6, size=(n, runs)) / np.sqrt(1.5)
    for t in range(n):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = 1 - alpha - beta + alpha * returns[t] ** 2 + beta * variance
    return returns


def rolling(values: np.ndarray, n: int) -> np.ndarray:
    """Mean of the last n values; NaN before."""
    sums = np.r_[0.0, values.cumsum()]
    return np.r_[np.full(n - 1, np.nan), (sums[n:] - sums[:-n]) / n]


def channels(returns: np.ndarray, volume: np.ndarray) -> dict[str, np.ndarray]:
    """What the platform looks at, in small: returns, their volatilities, oscillators, volume relative and absolute."""
    made = {f"ret_{k}": rolling(returns, k) * k for k in (1, 6, 24)}
    made |= {f"vol_{k}": np.sqrt(np.maximum(rolling(returns**2, k), 0)) for k in (7, 30, 168)}
    gains = rolling(np.maximum(returns, 0), 14)
    made["rsi_14"] = gains / (gains + rolling(np.maximum(-returns, 0), 14))
    made["volume_sma_ratio_7"] = volume - np.log(rolling(np.exp(volume), 7))
    made["ln_volume"] = volume
    return made


def drift(rng: np.random.Generator, runs: int = 20) -> list[str]:
    """Daily checks over 28 days: stationary, volatility times three, volume times five."""
    days, warm = 28, 200
    n = warm + REFERENCE_HOURS + WINDOW_HOURS + days * DAY
    returns = garch(rng, n, runs)
    hour = np.arange(n)[:, None]
    noise = rng.normal(size=(n, runs))
    level = np.empty((n, runs))
    level[0] = noise[0] / np.sqrt(1 - 0.97**2)
    for t in range(1, n):
        level[t] = 0.97 * level[t - 1] + noise[t]
    volume = 0.15 * level + 0.3 * np.sin(2 * np.pi * hour / DAY) + 0.2 * rng.normal(size=(n, runs))
    rows = []
    change = warm + REFERENCE_HOURS + WINDOW_HOURS
    for what, factor, shift in (
        ("nothing changes", 1.0, 0.0),
        ("volatility × 3", 3.0, 0.0),
        ("volume × 5", 1.0, np.log(5)),
    ):
        delays: dict[str, list[float]] = {"calibrated": [], "classic": [], "psi": []}
        daily: dict[str, list[bool]] = {"calibrated": [], "classic": [], "psi": []}
        for path in range(runs):
            moved = (np.arange(n) >= change).astype(float)
            made = channels(returns[:, path] * np.where(moved > 0, factor, 1.0), volume[:, path] + shift * moved)
            fired = _checks(made, change, days)
            for name, alarms in fired.items():
                daily[name] += alarms.tolist()
                if alarms.any():
                    delays[name].append(float(alarms.argmax() + 1))
        for name, words in (
            ("calibrated", "calibrated, two days"),
            ("classic", "classic, mean shift > 0.3 SD"),
            ("psi", "PSI > 0.2 of any channel"),
        ):
            ever = share([True] * len(delays[name]) + [False] * (runs - len(delays[name])))
            rows.append([what, words, f"{np.mean(daily[name]):.1%}", ever, middle(delays[name])])
    head = ("market", "rule", "share of days", f"alarm within {days} days", "first alarm")
    return [
        "## Drift",
        "",
        f"{runs} GARCH(1, 1) markets with fat tails and an autocorrelated volume with a daily season; nine channels, a",
        f"reference of 90 days, a window of 7, judged daily for {days} days from the change on. Where nothing changes",
        "every alarm is false. Days of one market depend on one another, so the share of days has no interval.",
        "",
        *table(head, rows),
    ]


def _checks(made: dict[str, np.ndarray], change: int, days: int) -> dict[str, np.ndarray]:
    fired = {name: np.zeros(days, dtype=bool) for name in ("calibrated", "classic", "psi")}
    before = Drift({})
    for day in range(days):
        end = change + (day + 1) * DAY
        cut = slice(end - WINDOW_HOURS - REFERENCE_HOURS, end - WINDOW_HOURS), slice(end - WINDOW_HOURS, end)
        today = Drift({name: measure(x[cut[0]], x[cut[1]]) for name, x in made.items()})
        both = (today.score or 0) > 0.3 and (before.score or 0) > 0.3
        fired["calibrated"][day] = both or bool(today.far & before.far)
        fired["psi"][day] = any((c.psi or 0) > 0.2 for c in today.channels.values())
        window, reference = CLASSIC.window_hours, CLASSIC.reference_days * DAY
        shifts = [
            standardized_shift(made[name][end - window : end], made[name][end - window - reference : end - window])
            for name in ("rsi_14", "vol_7", "volume_sma_ratio_7")
        ]
        fired["classic"][day] = max(s or 0 for s in shifts) > CLASSIC.max_drift
        before = today
    return fired
