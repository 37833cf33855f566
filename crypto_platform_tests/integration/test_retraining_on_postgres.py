"""The retrain sensor on a live daemon whose storage, and the platform's, is Postgres, configured as in production."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from crypto_platform_tests.integration.deployment import Deployment, deployment
from crypto_platform_tests.integration.receivers import web_server
from crypto_platform_tests.integration.retraining import SYMBOLS, RetrainingOnALiveDaemon
from crypto_platform_tests.postgres import fresh_database

pytestmark = pytest.mark.slow

PRODUCTION = Path(__file__).parents[2] / "dagster.yaml"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, postgres_url: str) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("retraining")
    config = yaml.safe_load(PRODUCTION.read_text())
    with web_server() as web, fresh_database(postgres_url) as events, fresh_database(postgres_url) as store:
        config["storage"] = {"postgres": {"postgres_url": events}}
        with deployment(folder, config, web, symbols=SYMBOLS, database_url=store) as opened:
            yield opened


class TestOnPostgres(RetrainingOnALiveDaemon):
    """All of it."""
