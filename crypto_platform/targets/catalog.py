"""The targets that the settings ask for."""

from collections.abc import Callable, Sequence
from typing import Any

from crypto_platform.targets import slack, smtp, webhook
from crypto_platform.targets.base import Target
from crypto_platform.targets.config import TargetConfig


def targets(config: TargetConfig, slack_client: Callable[[str], Any]) -> Sequence[Target]:
    """The targets that are set; nothing is connected yet.

    Parameters
    ----------
    config : TargetConfig
    slack_client : callable
        Slack's client of a token.
    """
    found: list[Target] = []
    if config.slack_token and config.slack_channel:
        client = slack_client(config.slack_token.get_secret_value())
        client.base_url = config.slack_url.rstrip("/") + "/"
        found.append(slack.Slack(client, config.slack_channel))
    if config.smtp_url and config.email_from:
        found.append(smtp.Email(config.smtp_url.get_secret_value(), config.email_from, config.email_to))
    if config.webhook_url and config.webhook_secret:
        found.append(webhook.Webhook(config.webhook_url.get_secret_value(), config.webhook_secret.get_secret_value()))
    return found
