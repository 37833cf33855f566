"""A channel of Slack."""

from typing import Final

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.client import WebClient

from crypto_platform.core.alerts import Message, one_line
from crypto_platform.errors import TargetError
from crypto_platform.targets.base import TIMEOUT
from crypto_platform.targets.config import SLACK

LONGEST: Final = 30_000  # characters; Slack cuts a text at 40,000


class Slack:
    """Posts a message into a channel.

    Parameters
    ----------
    client : WebClient
        As Dagster's Slack resource makes it. Its time-out becomes ours, and its own retries are taken out: when to try
        again is decided in one place.
    channel : str
        Name with `#`, or identifier.
    timeout : float
        Seconds of silence.
    """

    name = SLACK

    def __init__(self, client: WebClient, channel: str, timeout: float = TIMEOUT) -> None:
        client.timeout = int(timeout)
        client.retry_handlers = []
        self._client = client
        self._channel = channel

    def send(self, message: Message) -> None:
        """See `Target`."""
        text = f"*{_escaped(message.title)}*\n{_escaped(message.text)}"[:LONGEST]
        try:
            self._client.chat_postMessage(
                channel=self._channel, text=text, unfurl_links=False, unfurl_media=False, link_names=False
            )
        except SlackApiError as error:
            why = one_line(str(error.response.get("error")))
            raise TargetError(f"Slack refused the message for {self._channel}: {why}") from error
        except (SlackClientError, OSError) as error:
            raise TargetError(f"Slack did not answer ({type(error).__name__})") from error


def _escaped(text: str) -> str:
    """A text in which nothing is markup: an upstream error must not mention a whole channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
