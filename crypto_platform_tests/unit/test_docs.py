"""Rendered documents are those of the code."""

import re
from pathlib import Path

import pytest

import crypto_platform
from crypto_platform.cli import store as commands
from crypto_platform.definitions import build_defs
from crypto_platform.errors import PlatformError
from crypto_platform.settings import PREFIX, Settings, load
from crypto_platform.tables import metadata
from crypto_platform.tables.render.docs import data_dictionary

ROOT = Path(crypto_platform.__file__).parents[1]


def test_the_documents_in_the_repository_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / "docs").is_dir():
        pytest.skip("an installed package has no docs folder: run the tests from a checkout")
    monkeypatch.chdir(ROOT)
    commands.docs(check=True)


def test_the_check_names_what_is_stale_and_rendering_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        PlatformError, match=r"checks\.md, .*data-dictionary\.md, .*settings\.md, .*run `crypto-platform docs`"
    ):
        commands.docs(check=True)
    assert list(tmp_path.iterdir()) == []  # checking writes nothing
    commands.docs(check=False)
    commands.docs(check=True)
    with Path("docs/settings.md").open("a") as file:
        file.write("an edit by hand\n")
    with pytest.raises(PlatformError, match=r"^docs/settings\.md no longer"):
        commands.docs(check=True)


def test_every_check_of_the_graph_is_explained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its severity, the job that evaluates it, what is true and what to do, and no cell is empty."""
    monkeypatch.chdir(tmp_path)
    commands.docs(check=False)
    row = r"^\| `(\w+)` \| `(\w+)` \| (\w+) \|(.+)\|(.+)\|(.+)\|$"
    rows = re.findall(row, Path("docs/checks.md").read_text(), re.MULTILINE)
    graph = build_defs(load(symbols=("BTC",))).resolve_asset_graph()
    keys = {(key.name, key.asset_key.to_user_string()) for key in graph.asset_check_keys}
    assert sorted((name, asset) for name, asset, *_ in rows) == sorted(keys)
    for _, _, severity, job, says, fails in rows:
        assert severity in {"WARN", "ERROR"}
        assert re.search(r"`\w+_job` \(.* \* \*\)", job)
        assert says.strip().endswith(".")
        assert fails.strip().endswith(".")


def test_every_setting_is_documented_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    commands.docs(check=False)
    names = [PREFIX + name.upper() for name in Settings.model_fields]
    assert re.findall(r"^\| `(\w+)`", Path("docs/settings.md").read_text(), re.MULTILINE) == names
    assert re.findall(r"^# (\w+)=", Path(".env.example").read_text(), re.MULTILINE) == names


def test_every_column_has_type_unit_and_meaning_in_the_dictionary() -> None:
    text = data_dictionary(metadata)
    for table in metadata.sorted_tables:
        assert f"\n## {table.name}\n" in text
        section = text.split(f"\n## {table.name}\n")[1].split("\n## ")[0]
        for column in table.columns:
            row = next(line for line in section.splitlines() if line.startswith(f"| `{column.name}`"))
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert cells[1], row
            assert cells[4], row
            assert column.comment == cells[4] or "|" in (column.comment or "")
