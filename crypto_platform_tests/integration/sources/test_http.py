"""Transport: one retry layer, an end in bytes and time, no redirects, and keys that nobody sees."""

import contextlib
import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from crypto_platform.core.provenance import Provenance
from crypto_platform.errors import MalformedResponseError, SourceRefusedError, SourceUnavailableError
from crypto_platform.sources import calls, transport
from crypto_platform.sources.calls import Patience
from crypto_platform.sources.gate import Gate
from crypto_platform.sources.http import HttpClient, NotFoundError

KEY = "k3y-n0b0dy-may-see"


@pytest.fixture
def gate() -> Gate:
    return Gate(clock=lambda: 1_800_000_000.0)


@pytest.fixture
def client(server, patience, gate) -> HttpClient:
    return HttpClient(
        provider="vendor",
        base_url=server.url + "/",
        url_setting="THE_URL",
        key_setting="THE_KEY",
        key=KEY,
        gate=gate,
        patience=patience,
    )


def test_an_answer_is_its_json(client, server, answer):
    server.script(answer({"a": 1}))
    payload, told = client.get_json("/x", {"q": "1"})
    assert (payload, told.provenance) == ({"a": 1}, Provenance.LIVE)
    assert (server.asked[0].path, server.asked[0].query) == ("/x", {"q": "1"})


@pytest.mark.parametrize(("said", "meant"), [("simulated", Provenance.SIMULATED), ("recorded", Provenance.RECORDED)])
def test_provenance_comes_from_the_header(client, server, answer, said, meant):
    server.script(answer({}, headers={"x-market-data": said}))
    assert client.get_json("/x")[1].provenance is meant


@pytest.mark.parametrize(
    ("said", "clock"),
    [
        ("Sun, 01 Mar 2026 12:00:07 GMT", datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)),
        ("Sun, 01 Mar 2026 14:00:07 +0200", datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)),
        ("Sun, 01 Mar 2026 12:00:07 -0000", None),
        ("2026-03-01T12:00:07Z", None),
        ("Sun, 99 Mar 2026 12:00:07 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_the_vendors_clock_is_its_date_header(said, clock):
    assert transport.clock_from({} if said is None else {"dATE": said}) == clock


def test_an_answer_tells_the_vendors_clock(client, server, answer):
    server.script(answer({}))
    assert abs(client.get_json("/x")[1].clock - datetime.now(UTC)) < timedelta(minutes=5)


def test_an_unknown_provenance_is_not_taken_for_live(client, server, answer):
    server.script(answer({}, headers={"X-Market-Data": "invented"}))
    with pytest.raises(MalformedResponseError, match="invented"):
        client.get_json("/x")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_passing_failure_is_asked_again(client, server, answer, waits, status):
    server.script(answer(b"<html>", status), answer({"a": 1}))
    assert client.get_json("/x")[0] == {"a": 1}
    assert len(waits) == 1


def test_retry_after_is_waited_for(client, server, answer, waits):
    server.script(answer({}, 429, {"Retry-After": "7"}), answer({}))
    client.get_json("/x")
    assert waits == [7.0]


def test_retry_after_may_be_a_date(client, server, answer, waits):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=15), usegmt=True)
    server.script(answer({}, 503, {"Retry-After": soon}), answer({}))
    client.get_json("/x")
    assert 5 < waits[0] <= 15


@pytest.mark.parametrize("asked", ["soon", "-1", "1e3", ""])
def test_a_nonsensical_retry_after_is_ignored(client, server, answer, waits, asked):
    server.script(answer({}, 429, {"Retry-After": asked}), answer({}))
    client.get_json("/x")
    assert 0 < waits[0] < 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_provider_that_asks_for_long_is_left_alone_at_once(client, server, answer, waits, status):
    """Asking again before the time it named is what providers ban for."""
    server.script(answer({}, status, {"Retry-After": "406"}))
    with pytest.raises(SourceUnavailableError, match=f"HTTP {status}.*in 1 attempts"):
        client.get_json("/x")
    with pytest.raises(SourceUnavailableError, match="left alone until 08:06:46 UTC"):
        client.get_json("/y")
    assert (len(server.asked), waits) == (1, [])


def test_a_retry_after_of_a_day_costs_an_hour(client, server, answer):
    server.script(answer({}, 429, {"Retry-After": "86400"}))
    for match in ("HTTP 429", "left alone until 09:00:00 UTC"):
        with pytest.raises(SourceUnavailableError, match=match):
            client.get_json("/x")


def test_waits_grow_with_jitter_up_to_the_cap():
    patience = Patience(attempts=13)
    for attempt in range(1, 13):
        nominal = patience.backoff * 2 ** (attempt - 1)
        wait = patience.pause(attempt, None, left=1e9)
        assert min(nominal * 0.5, patience.longest_wait) <= wait <= min(nominal * 1.5, patience.longest_wait)


def test_no_wait_reaches_beyond_the_time_of_the_whole_call():
    patience = Patience()
    assert patience.pause(1, 9.0, left=10.0) == 9.0
    assert patience.pause(1, 9.0, left=8.0) is None
    assert patience.pause(1, None, left=0.1) is None


def test_all_attempts_of_a_call_share_one_deadline(server, answer, waits, monkeypatch):
    """Time stands still but for each wait and each answer: 3 of 20 s fit into a minute, a fourth does not."""
    now = [0.0]
    monkeypatch.setattr(calls.time, "monotonic", lambda: now[0])

    def slow(asked):
        now[0] += 20.0
        return answer({}, 503)

    server.answer = slow
    patience = Patience(attempts=99, deadline=30.0, total=60.0, backoff=0.01, sleep=waits.append)
    client = HttpClient(provider="vendor", base_url=server.url, url_setting="U", patience=patience)
    with pytest.raises(SourceUnavailableError, match="in 3 attempts"):
        client.get_json("/x")
    assert len(server.asked) == 3


def test_attempts_are_bounded_and_the_message_names_provider_address_and_setting(client, server, answer, waits):
    server.script(answer({}, 503))
    with pytest.raises(SourceUnavailableError, match=r"vendor .*127\.0\.0\.1.*THE_URL"):
        client.get_json("/x")
    assert (len(server.asked), len(waits)) == (3, 2)


def test_one_attempt_means_no_retry(server, answer, waits):
    client = HttpClient(
        provider="vendor", base_url=server.url, url_setting="U", patience=Patience(attempts=1, sleep=waits.append)
    )
    server.script(answer({}, 500))
    with pytest.raises(SourceUnavailableError):
        client.get_json("/x")
    assert (len(server.asked), waits) == (1, [])


@pytest.mark.parametrize("status", [401, 402, 403, 451])
def test_a_refusal_of_everything_is_believed_for_a_minute(client, server, answer, status, monkeypatch):
    """A wrong key costs a run one request, not one a symbol; who mends it need not wait: it is the client's memory."""
    server.script(answer({"error": "no"}, status))
    for path in ("/x", "/y", "/z"):
        with pytest.raises(SourceRefusedError, match=f"vendor said {status}.*THE_KEY"):
            client.get_json(path)
    assert len(server.asked) == 1
    now = calls.time.monotonic()
    monkeypatch.setattr(calls.time, "monotonic", lambda: now + calls.REFUSED_FOR)
    server.script(answer({"a": 1}))
    assert client.get_json("/x")[0] == {"a": 1}


@pytest.mark.parametrize("status", [400, 404])
def test_a_refusal_of_one_thing_is_not_one_of_the_next(client, server, answer, status):
    server.answer = lambda asked: answer({}, status) if asked.path == "/x" else answer({"a": 1})
    with pytest.raises(SourceRefusedError):
        client.get_json("/x")
    assert client.get_json("/y")[0] == {"a": 1}


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 451])
def test_a_refusal_is_not_asked_again(client, server, answer, status):
    server.script(answer({"error": "their own words"}, status))
    with pytest.raises(SourceRefusedError, match=f"vendor said {status}.*their own words"):
        client.get_json("/x")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 402, 403])
def test_a_refusal_of_the_key_names_its_setting(client, server, answer, status):
    server.script(answer({"Data": {}, "Err": {"type": 2, "message": "API key required"}}, status))
    with pytest.raises(SourceRefusedError, match=r"API key required.*THE_KEY"):
        client.get_json("/x")


def test_404_carries_what_the_provider_said(client, server, answer):
    server.script(answer({"error": "id not found"}, 404, {"X-Market-Data": "recorded"}))
    with pytest.raises(NotFoundError) as caught:
        client.get_json("/x")
    assert caught.value.payload == {"error": "id not found"}
    assert caught.value.told.provenance is Provenance.RECORDED


def test_a_404_in_plain_text_carries_nothing(client, server, answer):
    server.script(answer(b"404 page not found", 404))
    with pytest.raises(NotFoundError) as caught:
        client.get_json("/x")
    assert caught.value.payload is None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"<html>", b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b"\xff\xfe\x00", b"[" * 100_000],
)
def test_what_is_no_json_is_malformed(client, server, answer, body):
    server.script(answer(body))
    with pytest.raises(MalformedResponseError, match="not JSON"):
        client.get_json("/x")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(client, server, answer, status):
    server.script(answer(b"", status, {"Location": server.url + "/elsewhere"}))
    with pytest.raises(MalformedResponseError, match="redirect"):
        client.get_json("/x")
    assert [asked.path for asked in server.asked] == ["/x"]


def test_a_slow_drip_is_left_at_the_deadline_not_at_its_end(server, answer):
    over = threading.Event()
    pieces: list[bytes] = []

    def drip():
        while len(pieces) < 100 and not over.wait(0.05):
            pieces.append(b" ")
            yield b" "

    patience = Patience(timeout=5, deadline=0.2, attempts=1)
    client = HttpClient(provider="vendor", base_url=server.url, url_setting="U", patience=patience)
    server.script(answer({"a": 1}, drip=drip()))
    try:
        with pytest.raises(SourceUnavailableError, match="ReadTimeout"):
            client.get_json("/x")
        assert len(pieces) < 100
    finally:
        over.set()


@pytest.mark.parametrize("packed", [False, True])
def test_a_body_beyond_the_cap_is_refused(client, server, answer, monkeypatch, packed):
    monkeypatch.setattr(transport, "BYTE_CAP", 10_000)
    body = json.dumps("x" * 100_000).encode()
    server.script(answer(gzip.compress(body), headers={"Content-Encoding": "gzip"}) if packed else answer(body))
    with pytest.raises(MalformedResponseError, match="unreadably"):
        client.get_json("/x")


def test_compressed_answers_are_read(client, server, answer):
    server.script(answer(gzip.compress(b'{"a": 1}'), headers={"Content-Encoding": "gzip"}))
    assert client.get_json("/x")[0] == {"a": 1}


def test_a_body_that_is_not_compressed_as_said_is_malformed(client, server, answer):
    server.script(answer(b'{"a": 1}', headers={"Content-Encoding": "gzip"}))
    with pytest.raises(MalformedResponseError, match="unreadably"):
        client.get_json("/x")


def test_a_dropped_connection_is_asked_again(client, server, answer):
    server.script(answer(drop=True), answer({"a": 1}))
    assert client.get_json("/x")[0] == {"a": 1}


def test_a_body_that_breaks_off_is_asked_again(client, server, answer):
    cut = answer(b'{"a":', headers={"Content-Length": "8", "Connection": "close"})
    server.script(cut, answer({"a": 1}))
    assert client.get_json("/x")[0] == {"a": 1}


def test_chunked_answers_are_read(client, server, answer):
    chunked = b'5\r\n{"a":\r\n3\r\n 1}\r\n0\r\n\r\n'
    server.script(answer(chunked, headers={"Transfer-Encoding": "chunked"}))
    assert client.get_json("/x")[0] == {"a": 1}


def test_nobody_there_is_unavailable(patience):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    client = HttpClient(provider="vendor", base_url=url, url_setting="THE_URL", patience=patience)
    with pytest.raises(SourceUnavailableError, match="THE_URL"):
        client.get_json("/x")


def test_connections_are_kept(client, server, answer):
    server.script(answer({}))
    for _ in range(3):
        client.get_json("/x")
    assert len({asked.client for asked in server.asked}) == 1


def test_threads_share_a_client(client, server, answer):
    server.answer = lambda asked: answer({"i": asked.query["i"]})
    got: list[str] = []
    threads = [
        threading.Thread(target=lambda i=i: got.append(client.get_json("/x", {"i": i})[0]["i"])) for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, got)) == list(range(16))


def test_the_key_travels_in_the_header_alone(client, server, answer):
    server.script(answer({}))
    client.get_json("/x", {"q": 1})
    assert server.asked[0].headers["Authorization"] == KEY
    assert KEY not in server.asked[0].raw


def test_a_netrc_file_does_not_replace_the_key(client, server, answer, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(answer({}))
    client.get_json("/x")
    assert server.asked[0].headers["Authorization"] == KEY


@pytest.mark.parametrize(
    "reply",
    [
        {"status": 401, "body": {"error": f"{KEY} is no key"}},
        {"status": 404, "body": {"error": f"{KEY} is no key"}},
        {"status": 503, "body": KEY.encode()},
        {"status": 302, "headers": {"Location": f"http://127.0.0.1:1/{KEY}"}},
        {"body": f"you sent {KEY}".encode()},
        {"drop": True},
    ],
)
def test_the_key_is_in_no_error_and_no_log(client, server, answer, caplog, reply):
    server.script(answer(**reply))
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:  # noqa: PT011
        client.get_json("/x")
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert KEY not in caplog.text
    assert KEY not in repr(client)


def test_a_password_in_the_address_is_not_shown(patience):
    client = HttpClient(
        provider="vendor", base_url="http://me:s3cret@127.0.0.1:1/data", url_setting="U", patience=patience
    )
    with pytest.raises(SourceUnavailableError) as caught:
        client.get_json("/x")
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1:1/data/x" in str(caught.value)


@pytest.mark.parametrize("given", [True, False, None])
def test_certificates_are_always_checked(monkeypatch, given):
    """Neither a caller nor a session can switch it off; only whose word to trust can be set."""
    seen = []

    def send(self, request, **kwargs):
        seen.append(kwargs["verify"])
        raise requests.ConnectionError

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    session = transport.BoundedSession(1.0)
    session.verify = False
    with pytest.raises(requests.ConnectionError):
        session.get("https://vendor.example", verify=given)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/their/own.pem")
    with pytest.raises(requests.ConnectionError):
        transport.BoundedSession(1.0).get("https://vendor.example", verify=given)
    assert all(seen)


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path, patience):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    options = "-x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    command = ["openssl", "req", *options.split(), "-keyout", key, "-out", certificate]
    made = shutil.which("openssl") and subprocess.run(command, capture_output=True, check=False)
    if not made or made.returncode:
        pytest.skip("no openssl that makes a certificate: TLS is not tried over a socket")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as plain, context.wrap_socket(plain, server_side=True) as listening:
        listening.settimeout(10)
        hello = threading.Thread(target=lambda: [accept_and_fail(listening) for _ in range(patience.attempts)])
        hello.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        client = HttpClient(provider="vendor", base_url=url, url_setting="THE_URL", patience=patience)
        with pytest.raises(SourceUnavailableError, match="SSLError"):
            client.get_json("/x")
        hello.join()


def accept_and_fail(listening: ssl.SSLSocket) -> None:
    with contextlib.suppress(OSError):
        listening.accept()
