"""Targets over real sockets: a message arrives whole, is signed, and whoever is dead or slow is only late."""

import base64
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as modern
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from slack_sdk.web.client import WebClient
from standardwebhooks import Webhook as Receiver

from crypto_platform.core.alerts import Alert, Kind, Message, compose
from crypto_platform.errors import TargetError
from crypto_platform.targets import catalog
from crypto_platform.targets.base import Answer, send_all
from crypto_platform.targets.config import TargetConfig
from crypto_platform.targets.slack import Slack
from crypto_platform.targets.smtp import Email
from crypto_platform.targets.webhook import Webhook
from crypto_platform_tests.integration.processes import free_port
from crypto_platform_tests.integration.receivers import KEY, SECRET, Web, web_server

HIDDEN = "s3cr3t-word"


def message(text: str = "no model; see <!channel> & ß", sent_at: datetime | None = None) -> Message:
    alert = Alert("run_failed/1", Kind.RUN, "hourly_job", "BTC", text, "/runs/1", datetime(2026, 3, 4, tzinfo=UTC))
    return compose([alert], sent_at=sent_at or datetime.now(UTC), ui_url="https://ui.example", label="SIMULATED")


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def nowhere() -> int:
    """A port at which nobody listens."""
    return free_port()


def test_a_webhook_gets_what_the_libraries_of_the_standard_verify(web: Web) -> None:
    sent = message()
    Webhook(f"{web.url}/hook", SECRET).send(sent)
    [(path, headers, body)] = web.taken
    assert path == "/hook"
    held = Receiver(SECRET).verify(body, headers)
    assert held["title"] == "[SIMULATED] crypto_platform: failed runs 1"
    assert held["sections"][0]["alerts"] == [
        {
            "key": "run_failed/1",
            "about": "hourly_job",
            "symbol": "BTC",
            "summary": "no model; see <!channel> & ß",
            "raised_at": "2026-03-04T00:00:00+00:00",
            "link": "https://ui.example/runs/1",
        }
    ]


def test_the_signature_is_the_standards_own_formula_over_identifier_time_and_body(web: Web) -> None:
    sent = message(sent_at=datetime(2026, 3, 4, 12, 0, 0, 900_000, tzinfo=UTC))
    Webhook(web.url, SECRET).send(sent)
    [(_, headers, body)] = web.taken
    stamp = str(int(datetime(2026, 3, 4, 12, tzinfo=UTC).timestamp()))
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (sent.id, stamp)
    signed = hmac.new(KEY, f"{sent.id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()


@pytest.mark.parametrize(
    ("changed", "sent_at"),
    [
        (lambda headers, body: (headers, body.replace(b"hourly_job", b"other_job_")), timedelta()),
        (lambda headers, body: (headers | {"webhook-id": "other"}, body), timedelta()),
        (lambda headers, body: (headers, body), timedelta(minutes=-6)),  # an old message, sent again
    ],
)
def test_a_changed_or_an_old_message_is_refused_by_receivers(
    changed: Callable[[Any, bytes], tuple[Any, bytes]], sent_at: timedelta, web: Web
) -> None:
    Webhook(web.url, SECRET).send(message(sent_at=datetime.now(UTC) + sent_at))
    [(_, headers, body)] = web.taken
    headers, body = changed(headers, body)
    with pytest.raises(Exception, match=r"signature|too old"):
        Receiver(SECRET).verify(body, headers)


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500])
def test_any_other_answer_of_a_webhook_is_a_failure_and_no_redirect_is_followed(status: int, web: Web) -> None:
    web.status, web.headers = status, {"Location": f"{web.url}/elsewhere"}
    with pytest.raises(TargetError, match=f"the webhook at 127.0.0.1 answered {status}") as error:
        Webhook(f"{web.url}/{HIDDEN}", SECRET).send(message())
    assert HIDDEN not in str(error.value)
    assert len(web.taken) == 1


def slack(url: str) -> Slack:
    return Slack(WebClient("xoxb-1", base_url=url), "#alerts")


def test_a_channel_of_slack_gets_the_text_with_nothing_of_it_markup(web: Web) -> None:
    config = TargetConfig(slack_token=SecretStr("xoxb-1"), slack_channel="#alerts", slack_url=f"{web.url}/api")
    [target] = catalog.targets(config, WebClient)
    target.send(message())
    [(path, headers, body)] = web.taken
    assert (path, headers["Authorization"]) == ("/api/chat.postMessage", "Bearer xoxb-1")
    form = json.loads(body) if body.startswith(b"{") else {k: v[0] for k, v in parse_qs(body.decode()).items()}
    assert form["channel"] == "#alerts"
    assert form["text"].startswith("*[SIMULATED] crypto_platform: failed runs 1*\nFailed runs (1)\n")
    assert "&lt;!channel&gt; &amp; ß" in form["text"]
    assert "https://ui.example/runs/1" in form["text"]


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, b'{"ok": false, "error": "channel_not_found"}', "refused the message for #alerts: channel_not_found"),
        (429, b'{"ok": false, "error": "ratelimited"}', "ratelimited"),
        (503, b"<html>", "Slack"),
        (200, b"[]", "Slack|slack"),
    ],
)
def test_what_slack_says_is_in_the_failure(status: int, body: bytes, says: str, web: Web) -> None:
    web.status, web.body = status, body
    error = send_all([(slack(web.url), message())])["slack"].error
    assert error is not None
    assert re.search(says, error)
    assert len(web.taken) == 1


class Mailbox:
    """What a mail server was given."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], EmailMessage]] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refused: set[str] = set()

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return "550 nobody here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        letter = BytesParser(policy=modern).parsebytes(envelope.content)
        assert isinstance(letter, EmailMessage)
        self.letters.append((list(envelope.rcpt_tos), letter))
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss", handled=False)


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield int(controller.port)
    finally:
        controller.stop()


TO = ("me@example.org", "you@example.org")


def test_a_letter_arrives_at_all_receivers() -> None:
    mailbox, sent = Mailbox(), message()
    with mail_server(mailbox) as port:
        Email(f"smtp://127.0.0.1:{port}", "platform@example.org", TO).send(sent)
    [(receivers, letter)] = mailbox.letters
    assert receivers == list(TO)
    assert letter["Subject"] == sent.title
    assert letter["From"] == "platform@example.org"
    assert letter.get_content().replace("\r\n", "\n").rstrip("\n") == sent.text
    assert letter["Message-ID"] == f"<{sent.id}@crypto-platform>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate of 127.0.0.1 with its key, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_mail_goes_over_tls_with_the_password_of_the_address(
    scheme: str, certificate: Path, server_tls: ssl.SSLContext
) -> None:
    mailbox = Mailbox()
    options: dict[str, Any] = {"authenticator": mailbox.authenticate}
    if scheme == "smtps":
        options |= {"ssl_context": server_tls, "auth_require_tls": False}
    else:
        options |= {"tls_context": server_tls, "require_starttls": True, "auth_required": True}
    trusting = ssl.create_default_context(cafile=str(certificate))
    with mail_server(mailbox, **options) as port:
        Email(f"{scheme}://me:p%40ss@127.0.0.1:{port}", "a@example.org", TO, context=trusting).send(message())
        with pytest.raises(TargetError, match="SMTPAuthenticationError 535") as error:
            Email(f"{scheme}://me:{HIDDEN}@127.0.0.1:{port}", "a@example.org", TO, context=trusting).send(message())
    assert HIDDEN not in str(error.value)
    assert mailbox.logins[0] == (b"me", b"p@ss")
    assert len(mailbox.letters) == 1


def test_a_mail_server_that_nobody_vouches_for_gets_no_password(server_tls: ssl.SSLContext) -> None:
    mailbox = Mailbox()
    options: dict[str, Any] = {"authenticator": mailbox.authenticate, "tls_context": server_tls}
    with mail_server(mailbox, **options) as port, pytest.raises(TargetError, match="SSLCertVerificationError"):
        Email(f"smtp://me:{HIDDEN}@127.0.0.1:{port}", "a@example.org", TO).send(message())
    assert mailbox.logins == mailbox.letters == []


def test_refused_receivers_are_named_and_do_not_keep_the_others_waiting() -> None:
    """Sending it again would serve nobody but those who have it."""
    mailbox = Mailbox()
    mailbox.refused = {TO[1]}
    with mail_server(mailbox) as port:
        mail = Email(f"smtp://127.0.0.1:{port}", "a@example.org", TO)
        told = send_all([(mail, message())])
        mailbox.refused = set(TO)
        with pytest.raises(TargetError, match="SMTPRecipientsRefused"):
            mail.send(message())
    assert told == {"email": Answer(warning=f"the mail server 127.0.0.1 refused {TO[1]}; mend ALERT_EMAIL_TO")}
    assert [receivers for receivers, _ in mailbox.letters] == [[TO[0]]]


def test_whoever_is_not_there_is_named_without_any_secret(nowhere: int) -> None:
    dead = (
        Webhook(f"http://127.0.0.1:{nowhere}/{HIDDEN}", SECRET),
        Email(f"smtp://me:{HIDDEN}@127.0.0.1:{nowhere}", "a@example.org", TO),
        slack(f"http://127.0.0.1:{nowhere}/{HIDDEN}"),
    )
    errors = send_all((target, message()) for target in dead)
    assert set(errors) == {"webhook", "email", "slack"}
    assert all(answer.error for answer in errors.values())
    assert HIDDEN not in str(errors)


def test_a_slow_target_has_an_end_and_keeps_no_other_waiting(web: Web) -> None:
    """It answers a byte at a time, so that no time-out of a single read ever strikes."""
    mailbox = Mailbox()
    web.drip, web.body = 0.2, b" " * 1000
    with mail_server(mailbox) as port:
        errors = send_all(
            [(slack(web.url), message()), (Email(f"smtp://127.0.0.1:{port}", "a@example.org", TO), message())],
            deadline=2.0,
        )
    assert errors == {"slack": Answer("it did not take the message within 2 s"), "email": Answer()}
    assert len(mailbox.letters) == 1


def test_what_a_client_library_raises_fails_nobody_but_its_target() -> None:
    class Broken:
        name = "webhook"

        def send(self, message: Message) -> None:
            raise RuntimeError(HIDDEN)

    assert send_all([(Broken(), message())]) == {"webhook": Answer("webhook failed with RuntimeError")}
