"""Bad input on the command line: one sentence with culprit and cure, an exit code, and nothing half-written."""

import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import text

from crypto_platform.core.alerts import Alert, Kind
from crypto_platform.operations import alerts
from crypto_platform.storage.warehouse import Warehouse

SECRET = "s3cr3t-word"
VENDORS = ("COINPAPRIKA", "CRYPTOCOMPARE", "COINDESK", "BINANCE", "BINANCE_ARCHIVE", "FEAR_GREED")


def nowhere() -> str:
    """Address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class Refusing(BaseHTTPRequestHandler):
    """A vendor that knows no key."""

    def do_GET(self) -> None:
        body = b'{"Response": "Error", "Message": "You need a valid auth key or api key", "Data": {}}'
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def refusing_vendor() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Cli:
    """The command line in a process of its own, with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        ours = {key: value for key, value in os.environ.items() if not key.startswith("CRYPTO_PLATFORM_")}
        dead = nowhere()
        ours |= {"CRYPTO_PLATFORM_HOME": str(self.home)}
        ours |= {f"CRYPTO_PLATFORM_{vendor}_URL": dead for vendor in VENDORS}  # no test asks the real vendors
        ours |= {f"CRYPTO_PLATFORM_{name}": value for name, value in variables.items()}
        return subprocess.run(
            [sys.executable, "-m", "crypto_platform", *arguments],
            env=ours, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def refused(self, *arguments: str, **variables: str) -> str:
        """Error of a command that must fail, without a traceback."""
        done = self.run(*arguments, **variables)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr + done.stdout
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def rows(self) -> dict[str, int]:
        """Rows of every table of the home's store."""
        with sqlite3.connect(self.home / "crypto_platform.db") as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
        connection.close()
        return counts

    def filled(self) -> set[str]:
        """Tables of the home's store that have rows."""
        return {table for table, count in self.rows().items() if count} - {"alembic_version"}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path)


def test_an_unknown_symbol_lists_the_known_ones_before_anything_is_written(cli: Cli) -> None:
    error = cli.refused("collect", SYMBOLS="NOPE")
    assert "unknown symbol 'NOPE'; known: BTC, ETH" in error
    assert "CRYPTO_PLATFORM_SYMBOLS_FILE" in error
    assert cli.files() == []


def test_a_symbol_that_is_known_but_not_followed_says_how_to_follow_it(cli: Cli) -> None:
    error = cli.refused("collect", "XRP", SYMBOLS="BTC")
    assert "XRP is not followed; add it to CRYPTO_PLATFORM_SYMBOLS" in error


@pytest.mark.parametrize(
    ("variables", "culprit"),
    [
        ({"SYMBOLZ": "BTC"}, "CRYPTO_PLATFORM_SYMBOLZ is not a setting; did you mean CRYPTO_PLATFORM_SYMBOLS?"),
        ({"BUY_THRESHOLD": "0.2"}, "CRYPTO_PLATFORM_BUY_THRESHOLD='0.2'"),
        ({"DATABASE_URL": f"mysql://me:{SECRET}@host/db"}, "supported are sqlite and postgresql"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_written(cli: Cli, variables: dict[str, str], culprit: str) -> None:
    done = cli.run("forecasts", **variables)
    assert done.returncode == 2
    assert culprit in done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert cli.files() == []


@pytest.mark.slow
def test_an_unreachable_source_is_named_and_the_store_stays_empty(cli: Cli) -> None:
    done = cli.run("collect", SYMBOLS="BTC", OHLCV_SOURCES="binance", HTTP_TIMEOUT_SECONDS="1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr + done.stdout
    assert "127.0.0.1" in done.stderr + done.stdout
    assert cli.filled() == {"vendor_states"}, "nothing but what was learned of the vendors"


def test_a_wrong_key_is_named_by_its_setting_and_never_shown(cli: Cli, refusing_vendor: str) -> None:
    done = cli.run(
        "backfill", "BTC", SYMBOLS="BTC", OHLCV_SOURCES="cryptocompare",
        CRYPTOCOMPARE_API_KEY=SECRET, CRYPTOCOMPARE_URL=refusing_vendor,
    )  # fmt: skip
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert "CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY" in told
    assert SECRET not in told
    assert "Traceback" not in told
    assert cli.filled() == {"vendor_states"}, "nothing but what was learned of the vendors"


def test_no_usable_source_says_which_settings_are_missing(cli: Cli) -> None:
    error = cli.refused("backfill", "BTC", SYMBOLS="BTC", OHLCV_SOURCES="cryptocompare,coindesk")
    assert "CRYPTO_PLATFORM_CRYPTOCOMPARE_API_KEY" in error
    assert "CRYPTO_PLATFORM_COINDESK_API_KEY" in error


@pytest.mark.parametrize("command", ["collect", "tick", "demo", "report", "train"])
def test_a_home_that_cannot_be_written_is_named_with_the_setting(cli: Cli, command: str) -> None:
    (cli.folder / "file").write_text("in the way")
    error = cli.refused(command, SYMBOLS="BTC", HOME=str(cli.folder / "file" / "home"))
    assert str(cli.folder / "file" / "home") in error
    assert "CRYPTO_PLATFORM_HOME" in error
    assert cli.files() == ["file"]


@pytest.mark.parametrize("command", [("forecasts",), ("tick",), ("db", "upgrade"), ("report",)])
def test_a_newer_schema_is_refused_and_left_as_it_is(cli: Cli, command: tuple[str, ...]) -> None:
    cli.home.mkdir()
    store = Warehouse.open(f"sqlite:///{cli.home / 'crypto_platform.db'}")
    with store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    before = cli.rows()
    error = cli.refused(*command, SYMBOLS="BTC")
    assert "schema 9999, which is newer" in error
    assert "install the version that made it" in error
    assert cli.rows() == before


def test_an_unreachable_database_is_named_without_its_password(cli: Cli) -> None:
    port = nowhere().rpartition(":")[2]
    done = cli.run("forecasts", DATABASE_URL=f"postgresql://me:{SECRET}@127.0.0.1:{port}/db")
    assert done.returncode == 1
    assert f"me:***@127.0.0.1:{port}" in done.stderr
    assert "CRYPTO_PLATFORM_DATABASE_URL" in done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("now", "why"), [("yesterday", "no ISO time"), ("2026-01-01T00:00:00", "no time zone")])
def test_a_clock_that_cannot_be_read_says_how_to_write_it(cli: Cli, now: str, why: str) -> None:
    assert why in cli.refused("tick", "--now", now, SYMBOLS="BTC")
    assert cli.files() == []


def test_an_unfollowed_symbol_says_which_command_follows_it(cli: Cli) -> None:
    assert "XRP is not followed; `crypto-platform symbols add XRP` does" in cli.refused("collect", "XRP")


def test_a_good_command_is_quiet_about_errors(cli: Cli) -> None:
    cli.home.mkdir()
    done = cli.run("forecasts", SYMBOLS="BTC")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no forecasts yet" in done.stdout


def klines(folder: Path, stem: str = "BTCUSDT-1h-2020-01", hours: int = 48) -> Path:
    """A zip of the archive with its checksum beside it."""
    opens = (1_577_836_800_000 + 3_600_000 * i for i in range(hours))
    rows = "".join(f"{at},10,12,9,11,1,{at + 3_599_999},10,5,0,0,0\n" for at in opens)
    path = folder / f"{stem}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}.csv", rows)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path


def test_an_experiment_is_made_shown_and_stopped_but_never_changed(cli: Cli) -> None:
    arms = ("--a", "ensemble", "--b", "logistic_regression", "--metric", "brier", "--now", "2026-01-31T12:00:00Z")
    assert cli.run("experiments", "create", "mine", *arms).returncode == 0
    assert "none is ever changed" in cli.refused("experiments", "create", "mine", *arms)
    assert "names no model" in cli.refused("experiments", "create", "other", "--a", "oracle")
    assert "no experiment 'other'" in cli.refused("experiments", "show", "other")
    shown = json.loads(cli.run("experiments", "show", "mine", "--json").stdout)
    assert (shown["verdict"], shown["status"], shown["metric"]) == ("insufficient data", "ended", "brier")
    stopped = json.loads(cli.run("experiments", "stop", "mine", "--now", "2026-02-01T12:00:00Z", "--json").stdout)
    assert [e["status"] for e in stopped] == ["stopped"]
    listed = cli.run("experiments", "list")
    assert "insufficient data" in listed.stdout


def test_history_is_imported_from_a_folder_of_archives(cli: Cli) -> None:
    klines(cli.folder)
    arguments = ("import", "archive", "BTC", "--from", "2019-12", "--to", "2020-01", "--folder", ".")
    done = cli.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "BTCUSDT-1h-2019-12.zip" in done.stdout
    assert "not in the archive" in done.stdout
    rows = cli.rows()
    assert (rows["ohlcv_data"], rows["features"], rows["imported_files"]) == (48, 48, 1)
    again = cli.run(*arguments, "--json")
    assert [each.get("unchanged") for each in json.loads(again.stdout)] == [None, True]
    assert cli.rows() == rows


def test_history_is_imported_from_files(cli: Cli) -> None:
    path = klines(cli.folder)
    done = cli.run("import", "files", path.name, "--symbol", "btc")
    assert done.returncode == 0, done.stderr
    assert "Binance klines layout" in done.stdout
    assert cli.rows()["ohlcv_data"] == 48


@pytest.mark.parametrize(
    ("arguments", "culprit", "code"),
    [
        (("archive", "--from", "January"), "--from 'January' is no month; write it like 2020-01", 2),
        (("archive", "--from", "2020-02", "--to", "2020-01"), "--from 2020-02 is after --to 2020-01", 2),
        (("archive", "--from", "2020-01", "--folder", "gone"), "gone is no folder", 2),
        (("archive", "BTC", "--from", "2020-01", "--to", "2020-01"), "BINANCE_ARCHIVE_URL", 1),
        (("files", "gone.csv", "--symbol", "BTC"), "gone.csv cannot be read", 1),
        (("files", "gone.csv", "--symbol", "NOPE"), "unknown symbol 'NOPE'", 2),
        (("files", "a.csv", "--symbol", "BTC", "--source", "binanace"), "'binanace'; did you mean binance", 2),
        (("files", "a.csv", "--symbol", "BTC", "--source", "../x"), "'../x'; write it like binance", 2),
    ],
)
def test_an_import_that_cannot_be_done_says_why(cli: Cli, arguments: tuple[str, ...], culprit: str, code: int) -> None:
    done = cli.run("import", *arguments)
    assert culprit in done.stderr
    assert done.returncode == code


def test_without_a_target_there_is_nothing_to_test_and_half_a_target_is_refused(cli: Cli) -> None:
    assert "no target is set" in cli.refused("alerts", "test")
    error = cli.refused("alerts", "test", ALERT_SLACK_TOKEN=SECRET)
    assert "ALERT_SLACK_TOKEN is set and CRYPTO_PLATFORM_ALERT_SLACK_CHANNEL is not" in error
    assert SECRET not in error


def test_a_dead_target_is_named_and_its_secret_is_not(cli: Cli) -> None:
    (cli.home).mkdir(parents=True, exist_ok=True)
    done = cli.run(
        "alerts", "test", ALERT_WEBHOOK_URL=f"{nowhere()}/{SECRET}", ALERT_WEBHOOK_SECRET="whsec_" + "A" * 40
    )
    assert done.returncode == 1
    assert "the webhook at 127.0.0.1 did not answer" in done.stdout
    assert "error: not reached: webhook" in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_alerts_are_listed_with_whom_they_reached(cli: Cli) -> None:
    cli.home.mkdir(parents=True, exist_ok=True)
    store = Warehouse.open(f"sqlite:///{cli.home / 'crypto_platform.db'}")
    now = datetime.now(UTC)
    alert = Alert("run_failed/1", Kind.RUN, "hourly_job", None, "it failed", "/runs/1", now)
    alerts.record(store, [alert], [], as_of=now, targets=["email", "slack"])
    store.close()
    assert "email waits, slack waits" in cli.run("alerts", "list").stdout
    [row] = json.loads(cli.run("alerts", "list", "--json").stdout)
    assert (row["key"], row["symbol"], row["cleared_at"]) == ("run_failed/1", None, None)
    assert [(told["target"], told["attempts"]) for told in row["deliveries"]] == [("email", 0), ("slack", 0)]
