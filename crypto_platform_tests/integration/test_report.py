"""The monitoring report and metrics over a small real store: what is shown, and what never is."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.hours import HOUR
from crypto_platform.operations import charts
from crypto_platform.operations.monitor import collect_metrics
from crypto_platform.operations.report import REPORT_NAME, summary_markdown, write_report
from crypto_platform.sources.fear_greed import ATTRIBUTION
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import ALL
from crypto_platform.tables import (
    ab_test_config,
    ab_test_results,
    model_aliases,
    model_metrics,
    model_versions,
    monitoring_metrics,
    ohlcv_data,
    prediction_outcomes,
    predictions,
    quarantine,
    retrain_decisions,
    sentiment_data,
)

AS_OF = datetime(2026, 3, 2, 12, 10, tzinfo=UTC)
NEWEST = datetime(2026, 3, 2, 11, tzinfo=UTC)  # newest closed candle
SYMBOLS = ("BTC", "ETH", "NEW")  # NEW is followed, nothing is there of it yet
HOURS = 240
NASTY = '<script src="https://evil.example/x.js">alert(1)</script>'


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Warehouse]:
    store = Warehouse.open(f"sqlite:///{tmp_path}/s.db")
    yield store
    store.close()


@pytest.fixture
def store(empty: Warehouse) -> Warehouse:
    for number, symbol in enumerate(SYMBOLS[:2]):
        fill_symbol(empty, symbol, seed=number)
    start = {"test_name": "x", "started_at": AS_OF - timedelta(days=5)}
    empty.upsert(
        ab_test_config,
        pd.DataFrame(
            [
                {
                    **start,
                    "variant_a": "random_forest",
                    "variant_b": "gradient_boosting",
                    "horizon": 1,
                    "split": 0.5,
                    "salt": "s",
                    "alpha": 0.05,
                    "publish": False,
                }
            ]
        ),
    )
    fill_arms(empty)
    day = AS_OF.replace(hour=0, minute=0)
    empty.upsert(
        sentiment_data,
        pd.DataFrame(
            {
                "timestamp": [day],
                "fear_greed_value": [23],
                "fear_greed_classification": ["Extreme Fear"],
                "known_at": [day],
                "known_at_estimated": [False],
                "source": ["simulated:alternative.me"],
            }
        ),
    )
    refused = {"source": "simulated:binance", "dataset": "ohlcv_data", "reason": "close is negative", "payload": "{}"}
    rows = [{**refused, "id": name, "symbol": name, "seen_at": AS_OF - HOUR} for name in ("BTC", "ETH")]
    rows.append({**refused, "id": "old", "symbol": "BTC", "seen_at": AS_OF - timedelta(days=30)})
    empty.upsert(quarantine, pd.DataFrame(rows))
    return empty


def fill_symbol(store: Warehouse, symbol: str, seed: int) -> None:
    """Candles (two hours missing), a champion with metrics, forecasts of which all but the last are settled."""
    rng = np.random.default_rng(seed)
    opens = pd.date_range(end=NEWEST, periods=HOURS, freq="h", unit="us")
    close = 1000 * 10**seed * np.exp(np.cumsum(rng.normal(0, 0.005, HOURS)))
    candles = pd.DataFrame(
        {
            "symbol": symbol,
            "timestamp": opens,
            **dict.fromkeys(("open", "high", "low", "close"), close),
            "volume_base": 1.0,
            "source": "simulated:binance",
            "known_at": opens + pd.Timedelta(HOUR),
            "known_at_estimated": False,
        }
    )
    store.upsert(ohlcv_data, candles.drop(index=[HOURS - 30, HOURS - 31]))
    version = f"v{seed}{'0' * 10}"
    champion(store, symbol, version)
    p = rng.uniform(0.38, 0.62, HOURS)
    before = np.where(p >= 0.55, "BUY", np.where(p <= 0.45, "SELL", "HOLD"))
    signal = np.where(rng.random(HOURS) < 0.2, before, "HOLD")
    forecasts = pd.DataFrame(
        {
            "symbol": symbol,
            "horizon": 1,
            "prediction_timestamp": opens + pd.Timedelta(HOUR),
            "version": version,
            "candle_timestamp": opens,
            "created_at": opens + pd.Timedelta(minutes=62),
            "role": "champion",
            "origin": "live",
            "current_price": close,
            "prob_up": p,
            "prob_down": 1 - p,
            "signal": signal,
            "signal_before_costs": before,
            "reason": np.where(signal == "HOLD", np.where(before == "HOLD", "low_confidence", "edge_below_cost"), None),
            "break_even_probability": 0.74,
        }
    )
    forecasts.loc[HOURS - 50, ["prob_up", "prob_down", "break_even_probability"]] = np.nan
    forecasts.loc[HOURS - 50, "reason"] = "stale_data"
    store.upsert(predictions, forecasts)
    up = rng.integers(0, 2, HOURS)
    settled = forecasts.loc[forecasts["prob_up"].notna(), ["symbol", "horizon", "prediction_timestamp", "version"]]
    store.upsert(
        prediction_outcomes,
        settled.assign(
            realized_return=np.where(up == 1, 0.01, -0.01)[settled.index],
            realized_direction=up[settled.index],
            correct=((p > 0.5) == (up == 1))[settled.index],
            log_loss=0.7,
            resolved_at=settled["prediction_timestamp"] + pd.Timedelta(HOUR),
        ).iloc[:-1],
    )


def champion(store: Warehouse, symbol: str, version: str) -> None:
    trained = AS_OF - timedelta(days=3)
    key = {"symbol": symbol, "horizon": 1}
    texts = dict.fromkeys(("feature_set", "feature_set_hash", "data_hash", "bundle_sha256"), "x")
    times = {"trained_at": trained, "train_start": trained - timedelta(days=90), "train_end": trained - 2 * HOUR}
    store.upsert(model_versions, pd.DataFrame([{**key, **texts, **times, "version": version, "n_rows": 2000}]))
    alias = {"alias": "champion", "at": trained, "version_to": version, "actor": "test", "reason": "first"}
    store.upsert(model_aliases, pd.DataFrame([{**key, **alias}]))
    scores = {"accuracy": 0.52, "log_loss": 0.693, "brier": 0.25, "auc": 0.51}
    rows = [
        {
            "symbol": symbol,
            "version": version,
            "model_name": model,
            "metric_name": metric,
            "fold": -1,
            "metric_value": value,
            "lower": None if metric == "auc" else value - 0.02,
            "upper": None if metric == "auc" else value + 0.02,
            "n": 1500,
            "training_timestamp": trained,
        }
        for model in ("ensemble", "random_forest", "baseline_base_rate", "baseline_persistence")
        for metric, value in scores.items()
    ]
    store.upsert(model_metrics, pd.DataFrame(rows))
    decision = {"decision_time": AS_OF - HOUR, "should_retrain": True, "policy": "classic", "details": {}}
    reasons = ["features_have_not_drifted: largest mean shift 0.41 SD", NASTY]
    store.upsert(retrain_decisions, pd.DataFrame([{**key, **decision, "reasons": reasons}]))


def fill_arms(store: Warehouse) -> None:
    hours = pd.date_range(end=NEWEST, periods=80, freq="h", unit="us")
    rows = [
        {
            "test_name": "x",
            "symbol": "BTC",
            "horizon": 1,
            "prediction_timestamp": hour,
            "arm": arm,
            "model_version": "v",
            "model_name": "m",
            "prob_up": 0.6,
            "confidence": 0.6,
            "published_arm": "A",
            "correct": (number + (arm == "B")) % 3 > 0,
            "log_loss": 0.69,
        }
        for number, hour in enumerate(hours)
        for arm in ("A", "B")
    ]
    store.upsert(ab_test_results, pd.DataFrame(rows))


class Page(HTMLParser):
    """Text outside of scripts and styles, and every element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def render(store: Warehouse, folder: Path, symbols: tuple[str, ...] = SYMBOLS) -> tuple[Page, dict[str, Any]]:
    path, summary = write_report(store, folder, as_of=AS_OF, symbols=symbols)
    assert path == folder / REPORT_NAME
    return Page(path.read_text("utf-8")), summary


def test_report_shows_every_symbol_and_says_simulated(store: Warehouse, tmp_path: Path) -> None:
    page, summary = render(store, tmp_path)
    assert "SIMULATED data" in page.text
    assert summary["data"] == "SIMULATED"
    rows = [attributes for tag, attributes in page.elements if tag == "th" and attributes.get("scope") == "row"]
    assert rows
    for symbol in SYMBOLS:
        assert f" {symbol} " in page.text
    assert ATTRIBUTION in page.text
    assert "Extreme Fear" in page.text
    assert "no edge shown" in page.text
    assert "no difference shown so far" in page.text  # the A/B verdict
    assert "Drift: largest mean shift 0.41 SD" in page.text


def test_an_alarm_of_all_symbols_together_is_in_the_report(store: Warehouse, tmp_path: Path) -> None:
    assert "All symbols together, 1 h" not in render(store, tmp_path)[0].text
    collect_metrics(store, SYMBOLS, as_of=AS_OF)
    assert "All symbols together, 1 h ahead: no alarm" in render(store, tmp_path)[0].text
    with store.begin() as connection:
        connection.execute(prediction_outcomes.update().values(correct=False))
    collect_metrics(store, SYMBOLS, as_of=AS_OF)
    assert "All symbols together, 1 h ahead: alarm, worse than expected" in render(store, tmp_path)[0].text


@pytest.mark.parametrize("filled", [True, False])
def test_report_never_prints_what_python_calls_nothing(
    filled: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    page, summary = render(request.getfixturevalue("store" if filled else "empty"), tmp_path)
    assert not re.search(r"\b(None|nan|NaN|NaT|inf|Undefined|True|False)\b", page.text)
    markdown = summary_markdown(summary)
    assert not re.search(r"\b(None|nan|NaT)\b", markdown)
    json.dumps(summary, allow_nan=False)
    assert len(markdown.splitlines()) == 4 + len(SYMBOLS)


def test_report_needs_nothing_from_elsewhere(store: Warehouse, tmp_path: Path) -> None:
    page, _ = render(store, tmp_path)
    for tag, attributes in page.elements:
        assert tag not in {"link", "img", "iframe", "base", "object", "embed", "form"}
        assert not {"src", "href", "srcset", "action", "onclick"} & attributes.keys(), (tag, attributes)
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in (policies[0] or "")


def test_texts_from_the_store_are_escaped(store: Warehouse, tmp_path: Path) -> None:
    page, _ = render(store, tmp_path)
    assert NASTY in page.text  # as text, not as an element
    assert not any(script.startswith("alert(1)") for script in page.scripts)


def test_landmarks_and_headers(store: Warehouse, tmp_path: Path) -> None:
    page, _ = render(store, tmp_path)
    tags = [tag for tag, _ in page.elements]
    assert [a.get("lang") for tag, a in page.elements if tag == "html"] == ["en"]
    assert (tags.count("main"), tags.count("h1"), tags.count("title")) == (1, 1, 1)
    assert all(a.get("scope") in {"row", "col"} for tag, a in page.elements if tag == "th")
    identities = [a["id"] for _, a in page.elements if "id" in a]
    assert len(identities) == len(set(identities))


def test_empty_store_renders_with_words_for_what_is_missing(empty: Warehouse, tmp_path: Path) -> None:
    page, summary = render(empty, tmp_path)
    for words in ("No data yet", "No forecast in the last 30 days", "No model serves yet", "No decision has been made"):
        assert words in page.text
    assert summary["forecasts"] == 0
    assert summary["data"] == "NONE"


def test_same_store_and_moment_give_the_same_bytes(store: Warehouse, tmp_path: Path) -> None:
    pages = [write_report(store, tmp_path / name, as_of=AS_OF, symbols=SYMBOLS)[0].read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]
    assert len(pages[0]) < 6_000_000
    assert pages[0].count(b"plotly.js v") == 1


def test_figure_is_valid_plotly(store: Warehouse, tmp_path: Path) -> None:
    """Plotly itself accepts every trace, and a missing hour breaks the price line."""
    import plotly.graph_objects as go

    page, _ = render(store, tmp_path)
    figure = json.loads(next(script for script in page.scripts if script.startswith('{"layout"')))
    assert list(figure["traces"]) == [charts.key_name(("BTC", 1)), charts.key_name(("ETH", 1))]
    for traces in figure["traces"].values():
        go.Figure({"data": traces, "layout": figure["layout"]})
        price = next(trace for trace in traces if trace["name"] == "close")
        assert price["y"].count(None) == 2
        assert price["x"][-1] == "2026-03-02T12:00"
        drawn = {trace["name"]: len(trace["x"]) for trace in traces}
        assert drawn["hit"] + drawn["miss"] == 166  # the week's, less the newest and the one without probability
        assert drawn["open"] == 1


def test_what_came_later_is_not_shown(store: Warehouse, tmp_path: Path) -> None:
    before = AS_OF - timedelta(hours=5)
    _, summary = write_report(store, tmp_path, as_of=before, symbols=SYMBOLS)
    assert summary["retrain"] == []
    scored = summary["rows"][0]["accuracy_7d"]
    assert scored["n"] == 166
    assert summary["candle_age_minutes"] == 70.0


def test_metrics_are_written_once_and_match_the_report(store: Warehouse, tmp_path: Path) -> None:
    done = collect_metrics(store, SYMBOLS, as_of=AS_OF)
    assert [result.symbol for result in done.results] == [*SYMBOLS, ALL]
    assert collect_metrics(store, SYMBOLS, as_of=AS_OF).rows == 0
    rows = store.read(select(monitoring_metrics)).set_index(["symbol", "metric_name"])
    assert len(rows) == done.rows
    _, summary = render(store, tmp_path)
    accuracy = rows.loc[("BTC", "accuracy_7d")]
    shown = summary["rows"][0]["accuracy_7d"]
    assert accuracy["metric_value"] == shown["share"]
    assert (accuracy["metadata"]["n"], accuracy["metadata"]["lower"]) == (shown["n"], shown["lower"])
    values = rows["metric_value"]
    assert values["BTC", "candle_age_minutes"] == 70.0
    assert values["BTC", "model_age_days"] == pytest.approx(3.0)
    assert values["BTC", "gap_hours_7d"] == 2
    assert values["BTC", "quarantined_7d"] == 1
    assert values["BTC", "forecasts_7d"] == 168
    assert values["BTC", "abstention_share_7d"] == pytest.approx(1 / 168)
    assert values[ALL, "forecasts_7d"] == 336


def test_unknown_metrics_are_null_not_left_out(empty: Warehouse) -> None:
    collect_metrics(empty, SYMBOLS, as_of=AS_OF)
    rows = empty.read(select(monitoring_metrics))
    unknown = rows[rows["metric_value"].isna()]
    names = {"accuracy_24h", "accuracy_7d", "candle_age_minutes", "model_age_days", "gap_hours_7d"}
    for symbol in (*SYMBOLS, ALL):
        assert names <= set(unknown.loc[unknown["symbol"] == symbol, "metric_name"])
