"""Which targets the settings ask for, and whether each is set as a whole. Imports no client."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from crypto_platform.errors import ConfigurationError
from crypto_platform.sources.transport import is_this_machine

PREFIX: Final = "CRYPTO_PLATFORM_ALERT_"
SLACK, EMAIL, WEBHOOK = "slack", "email", "webhook"
SECRET_BYTES: Final = 24  # the least that Standard Webhooks allows
SLACK_URL: Final = "https://slack.com/api/"


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """Settings of the targets; a target without any of its settings is not wanted.

    Raises
    ------
    ConfigurationError
        A target is set in part, or by something it cannot be.
    """

    slack_token: SecretStr | None = None
    slack_channel: str | None = None
    slack_url: str = SLACK_URL
    smtp_url: SecretStr | None = None
    email_from: str | None = None
    email_to: tuple[str, ...] = ()
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None

    def __post_init__(self) -> None:
        for variables in self._groups().values():
            _require_whole(variables)
        _require_url(self.slack_url, "SLACK_URL", ("https",))
        if self.smtp_url:
            _require_url(self.smtp_url.get_secret_value(), "SMTP_URL", ("smtp", "smtps"))
        for name, address in (("EMAIL_FROM", self.email_from), *(("EMAIL_TO", a) for a in self.email_to)):
            if address and ("@" not in address or not address.isprintable()):
                raise ConfigurationError(f"{PREFIX}{name}: {address!r} is no address; write it like me@example.org")
        if self.webhook_url:
            _require_url(self.webhook_url.get_secret_value(), "WEBHOOK_URL", ("https",))
        if self.webhook_secret:
            _require_key(self.webhook_secret.get_secret_value())

    def _groups(self) -> dict[str, dict[str, Any]]:
        """Settings by target, those that it needs."""
        return {
            SLACK: {"SLACK_TOKEN": self.slack_token, "SLACK_CHANNEL": self.slack_channel},
            EMAIL: {"SMTP_URL": self.smtp_url, "EMAIL_FROM": self.email_from, "EMAIL_TO": self.email_to},
            WEBHOOK: {"WEBHOOK_URL": self.webhook_url, "WEBHOOK_SECRET": self.webhook_secret},
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Targets that are set."""
        return tuple(name for name, variables in self._groups().items() if all(variables.values()))


def _require_whole(variables: Mapping[str, Any]) -> None:
    missing = [name for name, value in variables.items() if not value]
    there = [name for name, value in variables.items() if value]
    if missing and there:
        raise ConfigurationError(
            f"{PREFIX}{there[0]} is set and {PREFIX}{missing[0]} is not: a target needs all of "
            f"{', '.join(variables)}, or none"
        )


def _require_url(url: str, name: str, schemes: tuple[str, ...]) -> None:
    """Refuse an address that is none, or over which a secret would go in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host:
        raise ConfigurationError(f"{PREFIX}{name} is no address; write it like {schemes[0]}://host/")
    allowed = (*schemes, "http") if is_this_machine(url) and "https" in schemes else schemes
    if parts.scheme not in allowed:
        raise ConfigurationError(
            f"{PREFIX}{name} begins with {parts.scheme}://; it has to be {':// or '.join(schemes)}://"
        )


def _require_key(secret: str) -> None:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < SECRET_BYTES:
        raise ConfigurationError(
            f"{PREFIX}WEBHOOK_SECRET is no base64 of {SECRET_BYTES} bytes or more; `openssl rand -base64 32` makes one"
        )
