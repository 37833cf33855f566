"""Laws of who serves: changes by hand are whole, recorded and sound, and what is needed is never pruned."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from crypto_platform.cli.app import app
from crypto_platform.core.cards import render
from crypto_platform.errors import ArtifactError, ConfigurationError
from crypto_platform.operations import cards, experiments, prune, registry, verify
from crypto_platform.storage import warehouse
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import model_aliases, model_versions, predictions

Moment = Callable[[float], datetime]
KEY = ("BTC", 1)
TRAININGS = (1210, 1216, 1222, 1230)
NOW = 1240
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def trained_often(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with four champions of each symbol and horizon, one after the other."""
    home = tmp_path_factory.mktemp("often")
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    deployment.ingest(moment(NOW))
    for at in TRAININGS:
        assert not deployment.train(moment(at)).failed
    deployment.store.close()
    return home


@pytest.fixture
def served(make_deployment: Any, trained_often: Path, tmp_path: Path) -> Any:
    """A copy of `trained_often`, to be changed."""
    home = tmp_path / "served"
    shutil.copytree(trained_often, home)
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    yield deployment
    deployment.store.close()


def past(served: Any) -> list[str]:
    """Champions of KEY, oldest first."""
    return [s.version for s in registry.history(served.store, ["BTC"]) if s.horizon == 1]


def holds(served: Any, at: datetime) -> tuple[str, str]:
    """Champion and previous one of KEY."""
    held = registry.held(served.store, ["BTC"], at)
    return held[*KEY, "champion"], held[*KEY, "previous"]


def promote(served: Any, version: str, at: datetime) -> tuple[str, int]:
    return registry.promote(served.store, served.artifacts, version, at=at, actor="ann", reason="by hand")


def rollback(served: Any, at: datetime) -> str:
    return registry.rollback(served.store, served.artifacts, *KEY, at=at, actor="ann", reason="worse")


def damage(served: Any, version: str) -> None:
    (served.artifacts.folder(version) / "serving.npz").write_bytes(b"")


def test_a_promoted_bundle_serves_from_then_on_and_the_way_back_is_kept(served: Any, moment: Moment) -> None:
    first, _, _, newest = past(served)
    assert promote(served, first, moment(NOW)) == KEY
    assert holds(served, moment(NOW)) == (first, newest)
    assert holds(served, moment(NOW - 1))[0] == newest
    last = registry.aliases(served.store, ["BTC"]).query("alias == 'champion'").iloc[-1]
    assert last[["version_from", "version_to", "actor", "reason"]].tolist() == [newest, first, "ann", "by hand"]
    promote(served, first, moment(NOW + 1))
    assert len(past(served)) == 5, "promoting what serves changes nothing"


def test_what_would_not_serve_is_not_promoted(served: Any, moment: Moment) -> None:
    first, newest = past(served)[0], past(served)[-1]
    damage(served, first)
    with pytest.raises(ArtifactError, match=first):
        promote(served, first, moment(NOW))
    with pytest.raises(ConfigurationError, match=r"no bundle 'x'; .*models list"):
        promote(served, "x", moment(NOW))
    assert holds(served, moment(NOW))[0] == newest


def test_nothing_is_promoted_behind_a_later_change(served: Any, moment: Moment) -> None:
    first = past(served)[0]
    for change in (lambda: promote(served, first, moment(1226)), lambda: rollback(served, moment(1226))):
        with pytest.raises(ConfigurationError, match=r"later than .* --now"):
            change()
    assert len(past(served)) == 4


def test_two_changes_of_one_moment_are_both_history(served: Any, moment: Moment) -> None:
    first, second, _, newest = past(served)
    promote(served, first, moment(NOW))
    promote(served, second, moment(NOW))
    assert past(served)[-3:] == [newest, first, second]
    champions = registry.aliases(served.store, ["BTC"]).query("alias == 'champion' and horizon == 1")
    chain = champions.sort_values("at")
    assert chain["version_from"].tolist()[1:] == chain["version_to"].tolist()[:-1]


def test_a_training_does_not_serve_behind_a_change_that_was_made_while_it_ran(served: Any, moment: Moment) -> None:
    first = past(served)[0]
    served.ingest(moment(NOW + 30))
    promote(served, first, moment(NOW + 31))
    done = served.train(moment(NOW + 30), gated=True)
    assert "changed while bundle" in done.failed["BTC"]
    assert past(served)[-1] == first
    assert "ETH" not in done.failed


def test_a_bundle_that_was_returned_from_stands_in_last(served: Any, moment: Moment) -> None:
    first, second, third, fourth = past(served)
    rollback(served, moment(NOW))  # from the fourth to the third
    damage(served, third)
    known = [s for s in registry.history(served.store, ["BTC"]) if s.horizon == 1]
    assert registry.choose(served.artifacts, known).served.version == second  # type: ignore[union-attr]
    for version in (first, second):
        damage(served, version)
    assert registry.choose(served.artifacts, known).served.version == fourth  # type: ignore[union-attr]


def test_a_rollback_goes_to_the_champion_before_and_a_second_one_comes_back(served: Any, moment: Moment) -> None:
    *_, second, third = past(served)
    assert rollback(served, moment(NOW)) == second
    assert holds(served, moment(NOW)) == (second, third)
    assert rollback(served, moment(NOW + 1)) == third


def test_a_rollback_passes_over_what_is_refused(served: Any, moment: Moment) -> None:
    first, second, third, fourth = past(served)
    damage(served, third)
    assert rollback(served, moment(NOW)) == second
    for version in (first, fourth):
        shutil.rmtree(served.artifacts.folder(version))
    with pytest.raises(ArtifactError, match=third):
        rollback(served, moment(NOW + 1))


def test_without_another_there_is_nothing_to_go_back_to(served: Any, moment: Moment) -> None:
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        rollback(served, moment(TRAININGS[0]))


def test_a_card_says_what_the_bundle_is_and_how_it_did(served: Any) -> None:
    version = past(served)[0]
    text = render(cards.card_of(served.store, served.artifacts, version))
    row = served.store.read(select(model_versions).where(model_versions.c.version == version)).iloc[0]
    for said in (version, row["bundle_sha256"], row["data_hash"], row["feature_set_hash"], f"{row['n_rows']} rows"):
        assert said in text
    for said in ("scikit-learn", "forest_trees 10", "| ensemble | accuracy |", "## Limits", "Refused"):
        assert (said in text) is (said != "Refused")
    assert text == render(cards.card_of(served.store, served.artifacts, version))
    shutil.rmtree(served.artifacts.folder(version))
    assert f"**Refused:** bundle {version} is not at" in render(cards.card_of(served.store, served.artifacts, version))


LATER = timedelta(days=200)
KEEP = timedelta(days=90)


def forecast_by(served: Any, version: str, at: datetime) -> None:
    row = {
        "symbol": "BTC",
        "horizon": 1,
        "prediction_timestamp": at,
        "version": version,
        "candle_timestamp": at - HOUR,
        "created_at": at,
        "role": "champion",
        "origin": "live",
        "current_price": 1.0,
        "signal": "HOLD",
        "signal_before_costs": "HOLD",
        "reason": "low_confidence",
    }
    served.store.upsert(predictions, warehouse.records([row]))


def prunable(served: Any, at: datetime) -> set[str]:
    return set(prune.prunable(served.store, as_of=at, retention=KEEP)) & set(past(served))


def test_only_what_nothing_refers_to_is_pruned(served: Any, moment: Moment) -> None:
    first, second, _, fourth = past(served)
    now = moment(NOW) + LATER
    assert prunable(served, moment(TRAININGS[0]) + prune.MARGIN) == set(), "too young"
    assert prunable(served, now) == {first}, "the champion stays, the one before, and the one before that"
    forecast_by(served, first, now - KEEP)
    assert prunable(served, now) == set(), "a forecast within its retention refers to it"
    assert prunable(served, now + HOUR) == {first}
    promote(served, first, now)
    assert prunable(served, now + LATER) == {second}
    assert holds(served, now + LATER) == (first, fourth)


def test_an_experiment_keeps_its_bundle_until_it_is_over(served: Any, moment: Moment) -> None:
    """It has no result yet, and its newest forecast may be older than any retention."""
    first = past(served)[0]
    now = moment(NOW) + LATER
    pinned = replace(experiments.default_experiment(1, now + 30 * HOUR), ends_at=now + 60 * HOUR)
    experiments.create(served.store, replace(pinned, test_name="pinned", variant_b=f"{first}/ensemble"))
    for at in (now, now + 30 * HOUR, now + 59 * HOUR):
        assert prunable(served, at) == set(), "before it starts and while it runs"
    assert prunable(served, now + 60 * HOUR) == {first}, "it has ended"
    recipes = replace(pinned, test_name="open", variant_a=f"{first}/random_forest", ends_at=None)
    experiments.create(served.store, recipes)
    assert prunable(served, now + 100 * LATER) == set(), "it has no end"
    experiments.stop(served.store, "open", as_of=now + 70 * HOUR)
    assert prunable(served, now + 71 * HOUR) == {first}, "somebody stopped it"


def test_pruning_leaves_rows_and_manifest_and_a_store_that_verifies(served: Any, moment: Moment) -> None:
    first, second, _, newest = past(served)
    now = moment(NOW) + LATER
    before = {table: served.store.read(select(table)) for table in (model_versions, model_aliases)}
    gone = prune.prune(served.store, served.artifacts, as_of=now, retention=KEEP)
    assert first in gone
    assert len(gone) == 4  # one of each symbol and horizon
    assert prune.prune(served.store, served.artifacts, as_of=now, retention=KEEP) == []
    for table, rows in before.items():
        pd.testing.assert_frame_equal(served.store.read(select(table)), rows)
    names = {path.name for path in served.artifacts.folder(first).iterdir()}
    assert names == {"manifest.json", "pruned.json"}
    bundle = served.artifacts.open(first, registry.registered(served.store, first).bundle_sha256)
    with pytest.raises(ArtifactError, match="was pruned"):
        bundle.read("serving.npz")
    with pytest.raises(ArtifactError, match="was pruned"):
        promote(served, first, now)
    found = [f for f in verify.verify(served.store, served.artifacts, as_of=now).findings if "bundle" in str(f.rule)]
    assert not found
    served.artifacts.prune(newest, now)
    found = [f for f in verify.verify(served.store, served.artifacts, as_of=now).findings if "bundle" in str(f.rule)]
    assert any(newest in str(finding) for finding in found), "a champion without its files is a finding"
    assert second not in gone


def test_a_pruned_bundle_that_is_trained_again_is_whole_again(served: Any, moment: Moment) -> None:
    newest = past(served)[-1]
    folder = served.artifacts.folder(newest)
    good = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert served.artifacts.prune(newest, moment(NOW))
    assert not served.train(moment(TRAININGS[-1])).failed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == good


@pytest.fixture
def command(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`crypto-platform models …` on the store of `served`, its clock at NOW."""
    home = tmp_path / "served"
    monkeypatch.setenv("CRYPTO_PLATFORM_HOME", str(home))
    monkeypatch.setenv("CRYPTO_PLATFORM_DATABASE_URL", f"sqlite:///{home / 'store.db'}")

    def run(*arguments: str, fails: bool = False) -> str:
        done = CliRunner().invoke(app, ["models", *arguments])
        assert (done.exception is not None) is fails, done.output
        return str(done.exception) if fails else done.output

    return run


def test_the_commands_show_and_change_who_serves(served: Any, moment: Moment, command: Callable[..., str]) -> None:
    first, _, third, fourth = past(served)
    now = ("--now", moment(NOW).isoformat())
    assert fourth in command("list")
    listed = {row["version"]: row for row in json.loads(command("list", "--json"))}
    assert len(listed) == 16
    assert (listed[fourth]["aliases"], listed[fourth]["champion"]) == (["champion"], True)
    assert (listed[third]["aliases"], listed[third]["champion"]) == (["previous"], False)

    assert f"{first} serves BTC, 1 h" in command("promote", first, "--reason", "steadier", *now)
    shown = command("show", first)
    assert "## Scores, walk-forward" in shown
    assert "steadier" in shown
    record = json.loads(command("show", first, "--json"))
    assert record["version"] == first
    assert {row["version_to"] for row in record["aliases"]} >= {first}
    assert record["card"].startswith("# BTC, 1 h ahead")
    assert any(row["fold"] == -1 and row["lower"] is not None for row in record["metrics"])

    assert f"{fourth} serves BTC, 1 h, again" in command(
        "rollback", "btc", "--reason", "worse", *now[:1], later(moment)
    )
    assert holds(served, moment(NOW + 1)) == (fourth, first)
    assert "both of its forms are the same models" in command("check", first)
    (served.artifacts.folder(first) / "models" / "random_forest.skops").write_bytes(b"")
    assert "not what was published" in command("check", first, fails=True)
    assert "no bundle 'x'" in command("show", "x", fails=True)
    assert "nothing to go back" not in command("rollback", "BTC", "--horizon", "3", "--reason", "x", fails=True)

    assert "0 bundles could be pruned" in command("prune", "--dry-run", *now)
    assert "4 bundles could be pruned" in command("prune", "--dry-run", "--now", (moment(NOW) + LATER).isoformat())
    assert "4 bundles were pruned" in command("prune", "--now", (moment(NOW) + LATER).isoformat())
    assert "0 bundles were pruned" in command("prune", "--now", (moment(NOW) + LATER).isoformat())


def later(moment: Moment) -> str:
    return moment(NOW + 1).isoformat()
