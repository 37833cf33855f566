"""What the command line shows of the replay server, and what it hands to the platform."""

from typer.testing import CliRunner

from crypto_platform import settings as configuration
from crypto_platform.cli.app import app
from crypto_platform.cli.market import url_settings
from crypto_platform.replay.catalogue import catalogue
from crypto_platform.replay.effects import ENDPOINTS


def test_the_faults_are_listed_with_what_they_do() -> None:
    done = CliRunner().invoke(app, ["replay", "--list-faults"])
    assert done.exit_code == 0
    listed = [line.split() for line in done.stdout.splitlines()]
    assert {entry.name for entry in catalogue()} <= {words[0] for words in listed if words}
    assert all(endpoint in done.stdout for endpoint in ENDPOINTS)


def test_all_urls_that_there_is_a_setting_for_point_at_the_server() -> None:
    urls = url_settings("http://127.0.0.1:1")
    settings = configuration.load(**urls)
    for name in type(settings).model_fields:
        if (
            name.endswith("_url")
            and not name.startswith("alert_")
            and name not in {"database_url", "artifacts_url", "reports_url", "ui_url"}
        ):
            assert urls[name].startswith("http://127.0.0.1:1/")
            assert getattr(settings, name) == urls[name]
