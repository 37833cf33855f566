"""What a person sees: the asset graph, a partition with its checks, and the report, in a real browser.

Screenshots are left in pytest's temporary folder (`screenshots`), to be looked at.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CHROMIUM = Path("/usr/bin/chromium")
GROUPS = ("apis", "raw", "features", "models", "predictions", "experiments", "monitoring")
ASSETS = (
    "coinpaprika_api",
    "exchange_api",
    "fear_greed_api",
    "market_data",
    "ohlcv_data",
    "ohlcv_crosschecks",
    "sentiment_data",
    "features",
    "models",
    "model_metrics",
    "predictions",
    "prediction_outcomes",
    "ab_test_results",
    "ab_test_report",
    "retrain_decisions",
    "monitoring_metrics",
    "monitoring_report",
)


class Tab:
    """A browser's page that remembers everything that went wrong in it."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page = page
        self.folder = folder
        self.wrong: list[str] = []
        page.on("console", lambda message: self._note(f"console: {message.text}", message.type == "error"))
        page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        page.on("response", lambda answer: self._note(f"{answer.status} {answer.url}", answer.status >= 400))
        # Dagster's own page takes back its polls when it moves on; anything else that fails is a fault.
        page.on("requestfailed", lambda r: self._note(f"failed: {r.url}", "ERR_ABORTED" not in (r.failure or "")))

    def _note(self, what: str, is_wrong: bool) -> None:
        if is_wrong:
            self.wrong.append(what)

    def open(self, url: str, *texts: str) -> None:
        """Go to a page and wait until it shows the texts."""
        self.page.goto(url)
        for text in texts:
            self.page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)

    def shoot(self, name: str) -> None:
        self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is absent (Debian's package chromium), so no page is looked at")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium keeps crash settings under HOME whatever its profile's folder.
        home = {**os.environ, "HOME": str(tmp_path_factory.mktemp("browser"))}
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"], env=home)
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, live: Any) -> Iterator[Tab]:
    folder = live.folder / "screenshots"
    folder.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": 2000, "height": 1200})
    yield Tab(page, folder)
    page.close()


def test_the_graph_shows_every_asset_in_its_group(tab: Tab, live: Any) -> None:
    expanded = ",".join(f"global@global:{group}" for group in GROUPS)
    tab.open(f"{live.url}/asset-groups?expanded={expanded}", "monitoring_report", "Materialize all (14)…")
    seen = tab.page.locator("foreignObject").all_text_contents()
    words = {word for text in seen for word in text.split()}
    tab.shoot("graph")
    assert [name for name in ASSETS if not _shows(words, name)] == []
    assert tab.wrong == []


def _shows(words: set[str], name: str) -> bool:
    """Whether a name is there, whole or with its middle cut out."""
    cut = [word.split("…") for word in words if "…" in word.strip("…")]
    return name in words or any(name.startswith(start) and name.endswith(end) for start, end in cut)


def test_a_partition_shows_its_hour_and_that_it_is_simulated(tab: Tab, live: Any) -> None:
    tab.open(f"{live.url}/assets/predictions?view=partitions&partition=BTC", "SIMULATED", "signal", "rows_written")
    tab.shoot("partition")
    assert tab.wrong == []


def test_the_checks_of_a_partition_say_what_should_be_true(tab: Tab, live: Any) -> None:
    tab.open(
        f"{live.url}/assets/predictions?view=checks&checkDetail=hour_is_served",
        "every_symbol_succeeded",
        "forecasts_are_fresh",
        "hour_is_served",
        "The newest hour has its candle, its feature row and its forecast.",
    )
    tab.page.get_by_text("Partitions", exact=True).last.click()
    tab.page.get_by_text("Missing (0)", exact=True).wait_for(timeout=60_000)  # every symbol has its evaluation
    tab.shoot("checks")
    assert tab.wrong == []


def test_the_report_says_first_that_it_is_simulated(tab: Tab, live: Any) -> None:
    tab.open(live.report_url, "Latest forecasts", "Retrain decisions")
    tab.page.locator(".plotly svg").first.wait_for(timeout=60_000)
    tab.shoot("report")
    text = tab.page.inner_text("body")
    assert text.index("SIMULATED") < text.index("Latest forecasts")
    assert "alternative.me" in text
    assert tab.wrong == []
