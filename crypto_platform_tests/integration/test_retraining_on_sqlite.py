"""The retrain sensor on a live daemon whose storage, and the platform's, is SQLite."""

from collections.abc import Iterator

import pytest
import yaml

from crypto_platform.cli.stage import INSTANCE_YAML
from crypto_platform_tests.integration.deployment import Deployment, deployment
from crypto_platform_tests.integration.receivers import web_server
from crypto_platform_tests.integration.retraining import SYMBOLS, RetrainingOnALiveDaemon

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("retraining")
    with web_server() as web, deployment(folder, yaml.safe_load(INSTANCE_YAML), web, symbols=SYMBOLS) as opened:
        yield opened


class TestOnSqlite(RetrainingOnALiveDaemon):
    """All of it."""
