"""Laws of damage: a bundle that is not what was published never forecasts, the one before does, nobody else waits."""

import os
import pickle
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from crypto_platform.core.hours import HOUR, SETTLE
from crypto_platform.operations import prune, registry
from crypto_platform.operations.checks import Scope
from crypto_platform.operations.checks.served import champions_serve_themselves
from crypto_platform.storage import bundles
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.symbols import Symbol
from crypto_platform.tables import model_aliases, model_versions, predictions

Moment = Callable[[float], datetime]
FIRST, SECOND, NOW = 1210, 1230, 1240  # hours of the trainings and of the present
KEY = ("BTC", 1)


@pytest.fixture(scope="module")
def twice_trained(make_deployment: Any, moment: Moment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two champions of each symbol and horizon, one after the other."""
    home = tmp_path_factory.mktemp("twice")
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    deployment.ingest(moment(NOW + 3))
    for at in (FIRST, SECOND):
        assert not deployment.train(moment(at)).failed
    deployment.store.close()
    return home


@pytest.fixture
def served(make_deployment: Any, twice_trained: Path, tmp_path: Path) -> Any:
    """A copy of `twice_trained`, to be damaged."""
    home = tmp_path / "served"
    shutil.copytree(twice_trained, home)
    deployment = make_deployment(Warehouse.open(f"sqlite:///{home / 'store.db'}"), home / "artifacts")
    yield deployment
    deployment.store.close()


def champion(served: Any, at: datetime, key: tuple[str, int] = KEY) -> str:
    return registry.champions(served.store, [key[0]], at)[key].version


def history(served: Any, key: tuple[str, int] = KEY) -> pd.DataFrame:
    rows = served.store.read(select(model_aliases).order_by(model_aliases.c.at))
    return rows[(rows["symbol"] == key[0]) & (rows["horizon"] == key[1]) & (rows["alias"] == "champion")]


def forecasts(served: Any) -> pd.DataFrame:
    """What was served: the previous champion's are in the shadow."""
    return served.store.read(
        select(predictions)
        .where(predictions.c.role == "champion")
        .order_by(*(predictions.c[n] for n in ("symbol", "horizon", "prediction_timestamp")))
    )


def warned(served: Any, at: datetime) -> Any:
    """What the check of the hour says."""
    symbols = [Symbol(name, name, None, name, default=True) for name in served.names]
    return champions_serve_themselves(served.store, Scope(symbols, at))


def tick(served: Any, now: datetime) -> Any:
    """The newest hour alone, under a real clock."""
    return served.predict(now, created_at=now)


class _Mischief:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.target),)


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 0x40
    path.write_bytes(content)


def objects(path: Path) -> None:
    evil = np.empty(3, dtype=object)
    evil[:] = _Mischief(path.parent / "trace")
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **{"random_forest.roots": evil})


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "manifest, first byte": lambda mine, _: flip(mine / "manifest.json", 0),
    "manifest, a hash": lambda mine, _: flip(mine / "manifest.json", 0.3),
    "manifest cut": lambda mine, _: os.truncate(mine / "manifest.json", 100),
    "manifest gone": lambda mine, _: (mine / "manifest.json").unlink(),
    "manifest of another": lambda mine, other: shutil.copy(other / "manifest.json", mine / "manifest.json"),
    "serving form, header": lambda mine, _: flip(mine / "serving.npz", 0.0005),
    "serving form, numbers": lambda mine, _: flip(mine / "serving.npz", 0.5),
    "serving form, directory": lambda mine, _: flip(mine / "serving.npz", 0.9999),
    "serving form cut": lambda mine, _: os.truncate(mine / "serving.npz", 2000),
    "serving form of another": lambda mine, other: shutil.copy(other / "serving.npz", mine / "serving.npz"),
    "serving form a pickle": lambda mine, _: (mine / "serving.npz").write_bytes(
        pickle.dumps(_Mischief(mine / "trace"))
    ),
    "serving form of objects": lambda mine, _: objects(mine / "serving.npz"),
    "serving form a pipe": lambda mine, _: ((mine / "serving.npz").unlink(), os.mkfifo(mine / "serving.npz")),
    "all of another": lambda mine, other: (shutil.rmtree(mine), shutil.copytree(other, mine)),
    "all gone": lambda mine, _: shutil.rmtree(mine),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_champion_before_serves_and_the_alias_says_since_when_and_why(
    served: Any, moment: Moment, damage: str
) -> None:
    held, other = champion(served, moment(NOW)), champion(served, moment(NOW), ("ETH", 1))
    before = champion(served, moment(SECOND - 1))
    mine = served.artifacts.folder(held)
    DAMAGE[damage](mine, served.artifacts.folder(other))

    done = tick(served, moment(NOW))
    assert not done.failed
    refused = {result.symbol: result.details.get("refused", "") for result in done.results}
    assert held in refused["BTC"]
    assert refused["ETH"] == ""
    assert not (mine / "trace").exists()

    rows = forecasts(served).set_index(["symbol", "horizon"])
    assert len(rows) == 4
    assert rows["prob_up"].notna().all()
    assert rows.loc[KEY, ["version", "role"]].tolist() == [before, "champion"]
    last = history(served).iloc[-1]
    assert last[["version_from", "version_to", "actor"]].tolist() == [held, before, "predict"]
    assert last["reason"].startswith(f"fall back: bundle {held}")
    made = rows.loc[KEY]
    assert last["at"] == made["prediction_timestamp"] + SETTLE, "from the hour it forecasts on, not before"
    assert champion(served, made["created_at"].to_pydatetime()) == made["version"], "who served then is answerable"

    again = tick(served, moment(NOW))
    assert again.rows == 0
    pd.testing.assert_frame_equal(forecasts(served).set_index(["symbol", "horizon"]), rows)
    assert len(history(served)) == 3
    tick(served, moment(NOW + 1))
    assert forecasts(served).query("symbol == 'BTC' and horizon == 1")["version"].tolist() == [before] * 2
    assert len(history(served)) == 3, "the next hour finds its champion as it is"
    assert held in warned(served, moment(NOW + 1))["BTC"]


def test_damage_to_what_does_not_serve_is_no_reason_to_refuse(served: Any, moment: Moment) -> None:
    """The skops files are for explaining; `models check` and `verify` find their damage."""
    held = champion(served, moment(NOW))
    for path in (served.artifacts.folder(held) / "models").iterdir():
        flip(path, 0.5)
    done = tick(served, moment(NOW))
    assert not any("refused" in result.details for result in done.results)
    assert forecasts(served).set_index(["symbol", "horizon"]).loc[KEY, "version"] == held
    found = registry.champions(served.store, ["BTC"], moment(NOW))[KEY]
    with pytest.raises(registry.ArtifactError, match="not what was published"):
        bundles.prove(served.artifacts.open(found.version, found.bundle_sha256))


def test_hours_forecast_before_the_damage_stay_the_champions_own(served: Any, moment: Moment) -> None:
    held, before = champion(served, moment(NOW)), champion(served, moment(SECOND - 1))
    served.predict(moment(NOW), since=moment(SECOND + 1))
    good = forecasts(served)
    flip(served.artifacts.folder(held) / "serving.npz", 0.5)
    served.predict(moment(NOW), since=moment(SECOND + 1))
    pd.testing.assert_frame_equal(forecasts(served), good)
    assert len(history(served)) == 2
    served.predict(moment(NOW + 2), since=moment(SECOND + 1))
    mine = forecasts(served).query("symbol == 'BTC' and horizon == 1")
    later = mine["prediction_timestamp"] > good["prediction_timestamp"].max()
    assert set(mine.loc[~later, "version"]) == {held}
    assert mine.loc[later, "version"].tolist() == [before] * 2
    moments = registry.champions(served.store, ["BTC"], mine.loc[~later, "created_at"].max().to_pydatetime())
    assert moments[KEY].version == held


def test_without_a_sound_one_the_hour_is_a_hold_and_the_symbols_error(served: Any, moment: Moment) -> None:
    versions = history(served)["version_to"].tolist()
    for version in versions:
        flip(served.artifacts.folder(version) / "serving.npz", 0.5)
    for _ in range(2):
        done = tick(served, moment(NOW))
        assert set(done.failed) == {"BTC"}
        assert all(version in done.failed["BTC"] for version in versions)
        rows = forecasts(served).set_index(["symbol", "horizon"])
        assert len(rows) == 4
        assert rows.loc[KEY, ["version", "signal", "reason"]].tolist() == [versions[-1], "HOLD", "model_refused"]
        assert np.isnan(rows.loc[KEY, "prob_up"])
        assert rows.drop(index=[KEY])["prob_up"].notna().all()
        assert len(history(served)) == 2
    assert set(warned(served, moment(NOW))) == {"BTC"}
    tick(served, moment(NOW + 1))
    assert forecasts(served).query("symbol == 'BTC' and horizon == 1")["reason"].tolist() == ["model_refused"] * 2


def test_training_again_replaces_what_was_damaged(served: Any, moment: Moment) -> None:
    """Equal data give the equal version: publishing it must not trust the folder that is there."""
    held = champion(served, moment(NOW))
    folder = served.artifacts.folder(held)
    good = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    flip(folder / "serving.npz", 0.5)
    (folder / "scaling_params.json").unlink()
    assert not served.train(moment(SECOND)).failed
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == good
    assert {path.name for path in folder.parent.iterdir()} == set(
        served.store.read(select(model_versions.c.version))["version"]
    )


def test_a_bundle_of_another_feature_set_or_symbol_is_refused(served: Any, moment: Moment) -> None:
    """Somebody who can write the store registers it with right hashes; it still does not serve."""
    mine = registry.champions(served.store, ["BTC", "ETH"], moment(NOW))
    bundle = served.artifacts.open(mine[KEY].version, mine[KEY].bundle_sha256)
    files = {name: bundle.read(name) for name in bundle.manifest["files"]}
    said = {key: value for key, value in bundle.manifest.items() if key not in {"files", "format"}}
    for change, why in (
        ({"feature_set_hash": "0" * 16}, "which this version does not build"),
        ({"features": said["features"][::-1]}, "which this version does not build"),
        ({"symbol": "ETH"}, "is of ETH, 1 h, not of BTC"),
        ({"horizon": 3}, "is of BTC, 3 h, not of BTC"),
        ({"serving_format": 99}, "serving format 99"),
    ):
        odd = served.artifacts.publish(files, {**said, **change})
        with served.store.begin() as connection:
            row = model_versions.c
            connection.execute(
                model_versions.update().where(row.version == mine[KEY].version).values(bundle_sha256=odd.sha256)
            )
        shutil.rmtree(served.artifacts.folder(mine[KEY].version), ignore_errors=True)
        shutil.copytree(odd.folder, served.artifacts.folder(mine[KEY].version))
        found = registry.champions(served.store, ["BTC"], moment(NOW))[KEY]
        with pytest.raises(registry.ArtifactError, match=why):
            registry.load(served.artifacts, found)


def test_falling_back_promoting_and_pruning_are_alike_on_both_engines(deployment: Any, moment: Moment) -> None:
    deployment.ingest(moment(NOW + 1))
    for at in (FIRST, SECOND):
        assert not deployment.train(moment(at)).failed
    before, held = history(deployment)["version_to"]
    flip(deployment.artifacts.folder(held) / "serving.npz", 0.5)
    for _ in range(2):
        assert not tick(deployment, moment(NOW)).failed
        assert forecasts(deployment).set_index(["symbol", "horizon"]).loc[KEY, "version"] == before
        assert history(deployment)["version_to"].tolist() == [before, held, before]
    assert not deployment.train(moment(SECOND), gated=True).failed  # mends the files, and changes no alias
    options = {"at": moment(NOW + 1), "actor": "ann", "reason": "mended"}
    registry.promote(deployment.store, deployment.artifacts, held, **options)
    assert champion(deployment, moment(NOW + 1)) == held
    options["at"] = moment(NOW + 2)
    assert registry.rollback(deployment.store, deployment.artifacts, *KEY, **options) == before
    assert prune.prune(deployment.store, deployment.artifacts, as_of=moment(NOW + 9999), retention=HOUR) == []
