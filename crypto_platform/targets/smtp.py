"""E-mail through an SMTP server."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

from crypto_platform.core.alerts import Message
from crypto_platform.errors import TargetError
from crypto_platform.sources.transport import is_this_machine
from crypto_platform.targets.base import TIMEOUT
from crypto_platform.targets.config import EMAIL

PORTS: Final = {"smtp": 587, "smtps": 465}


class Email:
    """Sends a message as plain text.

    Parameters
    ----------
    url : str
        `smtp://user:password@host:587` (STARTTLS) or `smtps://…:465` (TLS from the start). Certificates are always
        checked. Only a server on this machine may do without TLS.
    sender : str
    receivers : sequence of str
    timeout : float
        Seconds of silence.
    context : SSLContext, optional
        Whose word to trust, in place of the system's.
    """

    name = EMAIL

    def __init__(
        self,
        url: str,
        sender: str,
        receivers: tuple[str, ...],
        timeout: float = TIMEOUT,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url
        self._sender = sender
        self._receivers = receivers
        self._timeout = timeout
        self._context = context or ssl.create_default_context()

    def send(self, message: Message) -> str | None:
        """See `Target`; taken where at least one receiver took it."""
        parts = urlsplit(self._url)
        try:
            with self._connected() as server:
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                refused = server.send_message(self._letter(message))
        except (smtplib.SMTPException, OSError) as error:  # TLS errors are OSErrors
            raise TargetError(f"the mail server {parts.hostname} did not take it ({_why(error)})") from error
        if not refused:
            return None
        return f"the mail server {parts.hostname} refused {', '.join(sorted(refused))}; mend ALERT_EMAIL_TO"

    def _connected(self) -> smtplib.SMTP:
        parts = urlsplit(self._url)
        assert parts.hostname is not None
        port = parts.port or PORTS[parts.scheme]
        if parts.scheme == "smtps":
            return smtplib.SMTP_SSL(parts.hostname, port, timeout=self._timeout, context=self._context)
        server = smtplib.SMTP(parts.hostname, port, timeout=self._timeout)
        try:
            server.ehlo()
            if server.has_extn("starttls") or not is_this_machine(self._url):
                server.starttls(context=self._context)  # raises where it is not offered
        except BaseException:
            server.close()
            raise
        return server

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        letter["Subject"] = message.title
        letter["From"] = self._sender
        letter["To"] = ", ".join(self._receivers)
        letter["Date"] = format_datetime(message.sent_at)
        letter["Message-ID"] = f"<{message.id}@crypto-platform>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(message.text)
        return letter


def _why(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    return type(error).__name__
