"""A finished candle as it looked while its hour was still running."""

import math
from collections.abc import Mapping
from itertools import accumulate, pairwise


def running_candle(candle: Mapping[str, float], fraction: float) -> dict[str, float]:
    """The candle seen after a fraction of its hour.

    The price walks at constant speed from the open to the extreme on the far side of the close, to the other extreme,
    to the close: the shortest path that touches all four. A history holds no more than those, so the path is a choice;
    it is the same one every time, and what has been seen of it is never taken back.

    Parameters
    ----------
    candle : mapping of str to float
        `open`, `high`, `low`, `close` (finite, low ≤ open, close ≤ high), `volume_base`, `volume` and `trades`
        (NaN where unknown) of the whole hour.
    fraction : float
        Part of the hour that has passed; below 0 counts as 0, above 1 as 1.

    Returns
    -------
    dict of str to float
        The same keys. `open` is fixed; `high` and the volumes never fall with `fraction`, `low` never rises; NaN
        stays NaN; at 1 the finished candle.

    Examples
    --------
    >>> whole = dict(open=10.0, high=13.0, low=9.0, close=12.0, volume_base=8.0, volume=88.0, trades=3.0)
    >>> half = running_candle(whole, 0.5)
    >>> half["high"], half["low"], half["close"], half["volume_base"], half["trades"]
    (11.0, 9.0, 11.0, 4.0, 2.0)
    """
    passed = min(max(fraction, 0.0), 1.0)
    opened, high, low, close = (float(candle[name]) for name in ("open", "high", "low", "close"))
    volumes = {name: float(candle[name]) for name in ("volume_base", "volume", "trades")}
    if passed == 1.0:
        return {"open": opened, "high": high, "low": low, "close": close, **volumes}
    extremes = (low, high) if close >= opened else (high, low)
    walked = _walk((opened, *extremes, close), passed)
    volumes = {name: value * passed for name, value in volumes.items()}
    if not math.isnan(volumes["trades"]):
        volumes["trades"] = float(math.ceil(volumes["trades"]))  # where there is volume there was a trade
    return {"open": opened, "high": max(walked), "low": min(walked), "close": walked[-1], **volumes}


def _walk(points: tuple[float, ...], fraction: float) -> list[float]:
    """The points passed after `fraction` of the way, and the place where it ends."""
    lengths = [abs(there - here) for here, there in pairwise(points)]
    ends = list(accumulate(lengths))
    way = fraction * ends[-1]
    walked = [points[0]]
    for (here, there), length, end in zip(pairwise(points), lengths, ends, strict=True):
        if way < end:
            place = here + (there - here) * ((way - (end - length)) / length)
            walked.append(min(max(place, min(here, there)), max(here, there)))
            break
        walked.append(there)
    return walked
