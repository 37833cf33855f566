"""Any server that takes JSON, signed as Standard Webhooks lays down, so that receivers verify it with its libraries.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import json
from typing import Any
from urllib.parse import urlsplit

import requests
from standardwebhooks import Webhook as Signer

from crypto_platform.core.alerts import TITLES, Message
from crypto_platform.errors import TargetError
from crypto_platform.sources.transport import BoundedSession
from crypto_platform.targets.base import DEADLINE, TIMEOUT
from crypto_platform.targets.config import WEBHOOK


class Webhook:
    """Posts a message as signed JSON.

    Parameters
    ----------
    url : str
    secret : str
        Base64, with or without `whsec_` before it.
    timeout, deadline : float
        Seconds of silence, and for the whole answer.

    Notes
    -----
    The signature covers identifier, time and body: an old message sent again by somebody else is too old for
    receivers that look at the time. Redirects are not followed.
    """

    name = WEBHOOK

    def __init__(self, url: str, secret: str, timeout: float = TIMEOUT, deadline: float = DEADLINE) -> None:
        self._url = url
        self._signer = Signer(secret)
        self._timeout = timeout
        self._deadline = deadline

    def send(self, message: Message) -> None:
        """See `Target`."""
        body = json.dumps(payload(message), allow_nan=False)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(message.sent_at.timestamp())),
            "webhook-signature": self._signer.sign(message.id, message.sent_at, body),
        }
        host = urlsplit(self._url).hostname
        try:
            with BoundedSession(self._deadline) as session:
                answer = session.post(self._url, data=body.encode(), headers=headers, timeout=self._timeout)
        except requests.RequestException as error:  # its text holds the address, which may be a secret
            raise TargetError(f"the webhook at {host} did not answer ({type(error).__name__})") from error
        if not answer.ok or answer.is_redirect:
            raise TargetError(f"the webhook at {host} answered {answer.status_code}")


def payload(message: Message) -> dict[str, Any]:
    """The body: what the text says, for programs. `key` of an alert never comes with another meaning."""
    return {
        "id": message.id,
        "title": message.title,
        "sent_at": message.sent_at.isoformat(),
        "sections": [
            {
                "kind": section.kind,
                "title": TITLES[section.kind],
                "count": section.count,
                "alerts": [
                    {
                        "key": alert.key,
                        "about": alert.about,
                        "symbol": alert.symbol,
                        "summary": alert.summary,
                        "raised_at": alert.raised_at.isoformat(),
                        "link": message.url(alert),
                    }
                    for alert in section.alerts
                ],
            }
            for section in message.sections
        ],
    }
