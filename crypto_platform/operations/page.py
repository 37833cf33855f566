"""From the report's numbers to HTML: the template's environment and the words for numbers."""

from datetime import datetime
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crypto_platform.core.accuracy import COIN
from crypto_platform.core.metrics import BASELINE_PERSISTENCE, BASELINE_RATE
from crypto_platform.core.reporting import MonitoringReport
from crypto_platform.core.signals import CLASSIFIERS, ENSEMBLE, REGRESSOR
from crypto_platform.operations.predict import FRESH
from crypto_platform.sources.fear_greed import ATTRIBUTION

TEMPLATE: Final = "monitoring_report.html.j2"
FIGURE_ID: Final = "price-and-forecasts"  # fixed, so that the same store gives the same bytes
UNKNOWN: Final = "–"
BAR_FROM, BAR_TO = 0.25, 0.75  # ends of the drawn accuracy axis; hourly accuracies lie well inside
WINDOW_TITLES: Final = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
MODEL_TITLES: Final = {
    ENSEMBLE: "ensemble (serves)",
    **{name: name.replace("_", " ") for name in (*CLASSIFIERS, REGRESSOR)},
    BASELINE_RATE: "baseline: base rate",
    BASELINE_PERSISTENCE: "baseline: persistence",
}


def render(report: MonitoringReport, figure: dict[str, Any]) -> str:
    """The whole page.

    Parameters
    ----------
    report : MonitoringReport
    figure : dict
        `layout` of `charts.layout` and `traces` of `charts.figure_data`.
    """
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  # slow to import, and only needed here

    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            report=report,
            figure=figure,
            figure_id=FIGURE_ID,
            attribution=ATTRIBUTION,
            fresh_minutes=FRESH.total_seconds() / 60,
            model_titles=MODEL_TITLES,
            window_titles=WINDOW_TITLES,
            models=(ENSEMBLE, *CLASSIFIERS, BASELINE_RATE, BASELINE_PERSISTENCE),
            baselines=(BASELINE_RATE, BASELINE_PERSISTENCE),
            ensemble=ENSEMBLE,
            coin=COIN,
            plotly_js=Markup(get_plotlyjs()),  # noqa: S704  # the library's own text, made to stand in a script element
        )
    )


@cache
def environment() -> Environment:
    """Where templates are looked up, with the words for numbers as filters."""
    environment = Environment(
        loader=PackageLoader("crypto_platform", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "age": age,
        "magnitude": magnitude,
        "moment": moment,
        "number": number,
        "percent": percent,
        "price": price,
        "place": place,
    }
    return environment


def percent(value: float | None, digits: int = 1) -> str:
    """Share as a percentage.

    Examples
    --------
    >>> percent(0.5234), percent(None)
    ('52.3 %', '–')
    """
    return UNKNOWN if value is None else f"{value:.{digits}%}".replace("%", " %").replace("-", "−")


def price(value: float | None) -> str:
    """Price with as many decimals as its size needs.

    Examples
    --------
    >>> price(43210.987), price(0.41234567), price(None)
    ('43,210.99', '0.412346', '–')
    """
    if value is None:
        return UNKNOWN
    return f"{value:,.2f}" if value >= 100 else f"{value:.4f}" if value >= 1 else f"{value:.6g}"


def number(value: float | None, digits: int = 3) -> str:
    """Number with fixed decimals."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def magnitude(value: float) -> str:
    """Number of any size with three digits.

    Examples
    --------
    >>> magnitude(12.345), magnitude(3e45)
    ('12.3', '3e+45')
    """
    return f"{value:.3g}"


def moment(value: datetime | None) -> str:
    """Instant to the minute, UTC."""
    return UNKNOWN if value is None else value.strftime("%Y-%m-%d %H:%M UTC")


def age(minutes: float | None) -> str:
    """Duration in the unit that suits it.

    Examples
    --------
    >>> age(42), age(200), age(6000), age(None)
    ('42 min', '3.3 h', '4.2 days', '–')
    """
    if minutes is None:
        return UNKNOWN
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def place(share: float) -> float:
    """Where a share lies on the drawn accuracy axis, 0 to 100; beyond its ends it is held there."""
    return round(100 * min(1.0, max(0.0, (share - BAR_FROM) / (BAR_TO - BAR_FROM))), 2)
