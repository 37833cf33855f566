"""Values as JSON carries them: numbers, times and parameters that several vendors share."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pandas as pd


def json_number(value: float) -> float | int | None:
    """A number as upstream encoders write it: NaN is null, a whole number has no decimal point.

    Examples
    --------
    >>> json_number(0.0), json_number(1.5), json_number(float("nan"))
    (0, 1.5, None)
    """
    if value != value:  # noqa: PLR0124 - NaN; math.isnan would double the cost of a page
        return None
    return int(value) if value.is_integer() else value


def json_numbers(column: pd.Series) -> list[float | int | None]:
    """Numbers of a float column, see `json_number`."""
    return [json_number(value) for value in column.tolist()]


def decimals(column: pd.Series) -> list[str]:
    """Numbers of a float column as texts of 8 decimals; an empty one where a number is unknown (NaN)."""
    return ["" if value != value else f"{value:.8f}" for value in column.tolist()]  # noqa: PLR0124 - NaN


def epoch_microseconds(stamps: pd.Series) -> list[int]:
    """Instants as µs since 1970, exact."""
    values: list[int] = stamps.dt.as_unit("us").astype("int64").tolist()
    return values


def epoch_seconds(stamps: pd.Series) -> list[int]:
    """Instants as whole s since 1970, rounded down."""
    return [value // 1_000_000 for value in epoch_microseconds(stamps)]


def rfc3339(moment: datetime) -> str:
    """An instant with second resolution, such as 2026-01-01T00:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def integer(params: Mapping[str, str], name: str, default: int) -> int | None:
    """An integer parameter: its value, `default` where it is absent, None where it is not an integer."""
    text = params.get(name, "")
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        return None
