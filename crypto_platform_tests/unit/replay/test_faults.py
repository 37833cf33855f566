"""Faults come in the order of their script, as often as it says, and then never again."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.errors import ConfigurationError
from crypto_platform.replay.catalogue import matching
from crypto_platform.replay.damage import Answer
from crypto_platform.replay.faults import ENDPOINTS, Fault, Faults, parse_step, read_script

KLINES = "binance.klines"
NOW = datetime(2026, 1, 17, 12, 25, 12, tzinfo=UTC)
BODY = json.dumps([[1767571200000, "100.5", "101.0"], [1767574800000, "1.0", "2.0"]]).encode()


def refuse(status: int) -> Answer:
    return Answer(status, b"refused")


def test_a_script_is_followed_step_by_step_and_then_all_is_well() -> None:
    faults = Faults.parse("binance.klines=503x2,ok,delay:5")
    assert [faults.next(KLINES) for _ in range(5)] == [
        Fault(status=503, times=2),
        Fault(status=503),
        Fault(),
        Fault(delay=5.0),
        Fault(),
    ]
    assert faults.pending() == {}


def test_x_star_never_ends() -> None:
    faults = Faults.parse("binance.klines=429:7x*")
    assert {faults.next(KLINES).headers["Retry-After"] for _ in range(50)} == {"7"}


def test_each_endpoint_has_a_script_of_its_own() -> None:
    faults = Faults.parse("binance.*=500; coinpaprika.tickers = 402")
    assert [faults.next(name).status for name in ("binance.klines", "binance.time", "coinpaprika.tickers")] == [
        500,
        500,
        402,
    ]
    assert faults.next("fear_greed.fng") == Fault()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("503", Fault(status=503)),
        ("429:30", Fault(status=429, headers={"Retry-After": "30"})),
        ("delay:0.5x3", Fault(delay=0.5, times=3)),
        ("truncatedx*", Fault(named=("truncated",), times=None)),
        ("503+delay:2+emptyx2", Fault(status=503, delay=2.0, named=("empty",), times=2)),
        ("withhold:3+truncatedx2", Fault(named=("withhold:3", "truncated"), times=2)),
        ("withhold:2026-01-10T05/2026-01-11T00x*", Fault(named=("withhold:2026-01-10T05/2026-01-11T00",), times=None)),
        ("okx4", Fault(times=4)),
    ],
)
def test_the_text_form_of_a_step(text: str, fault: Fault) -> None:
    assert parse_step(text) == fault


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("binance.klines", "binance.klines"),
        ("binance.klines=", "binance.klines="),
        ("binance.kline=503", "binance.kline"),
        ("bitstamp.*=503", "bitstamp"),
        ("binance.klines=503,,500", "empty"),
        ("binance.klines=999", "999"),
        ("binance.klines=199", "199"),
        ("binance.klines=503x0", "0 times"),
        ("binance.klines=delay", "delay"),
        ("binance.klines=delay:soon", "delay:soon"),
        ("binance.klines=delay:-1", "-1"),
        ("binance.klines=delay:nan", "nan"),
        ("binance.klines=429:soon", "soon"),
        ("binance.klines=meltdown", "meltdown"),
        ("binance.klines=empty:3", "empty"),
        ("binance.klines=withold", "did you mean withhold"),
        ("binance.kline=503", "did you mean binance.klines"),
        ("binance.klines=drip", "SECONDS"),
        ("binance.klines=drip:601", "600"),
        ("binance.klines=withhold:0", "HOURS"),
        ("binance.klines=withhold:soon", "soon"),
        ("binance.klines=withhold:2026-01-10", "2026-01-10"),
        ("binance.klines=withhold:2026-01-10T05/2026-01-10T05", "empty"),
        ("binance.klines=withhold:9999-12-31T23", "HOURS"),
        ("binance.klines=scaled:1e7", "FACTOR"),
        ("binance.klines=scaled:nan", "FACTOR"),
        ("coinpaprika.tickers=stale:inf", "SECONDS"),
        ("binance.ping=withhold", "withhold"),
        ("binance.klines=type99", "type99"),
    ],
)
def test_a_wrong_plan_is_refused_by_the_name_of_its_culprit(text: str, culprit: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(culprit)):
        Faults.parse(text)


def test_an_empty_plan_is_no_fault() -> None:
    assert Faults.parse(" ; ").pending() == {}


@given(st.text(max_size=30))
def test_any_other_text_is_a_plan_or_a_configuration_error(text: str) -> None:
    try:
        Faults.parse(f"{KLINES}={text}")
    except ConfigurationError:
        return


def test_json_names_faults_with_their_arguments() -> None:
    assert read_script([{"named": ["withhold:3", "clock:-60"], "times": 2}]) == [parse_step("withhold:3+clock:-60x2")]


def test_a_pattern_means_the_endpoints_that_its_faults_make_sense_for() -> None:
    assert set(Faults.parse("binance.*=withhold").pending()) == {KLINES}
    assert set(Faults.parse("*=withhold").pending()) == {
        *("binance.klines", "cryptocompare.histohour", "coindesk.hours", "coinbase.candles", "kraken.ohlc"),
        *("binance_archive.monthly", "binance_archive.daily", "binance_archive.checksum"),
    }
    with pytest.raises(ConfigurationError, match="do not all apply"):
        Faults.parse("*=type99,stale:5")


def test_json_says_the_same_as_text_and_more() -> None:
    script = read_script(["503x2", {"status": 429, "headers": {"Retry-After": "1"}, "body": "no", "times": None}])
    assert script == [
        Fault(status=503, times=2),
        Fault(status=429, headers={"Retry-After": "1"}, body="no", times=None),
    ]
    assert read_script("503x2,delay:5") == [Fault(status=503, times=2), Fault(delay=5.0)]


@pytest.mark.parametrize(
    "document",
    [
        5,
        {"status": 503},
        [503],
        [{"code": 503}],
        [{"status": "503"}],
        [{"status": True}],
        [{"delay": None}],
        [{"headers": {"Retry-After": 3}}],
        [{"times": 0}],
        [{"named": ["meltdown"]}],
        [{"named": "withhold"}],
        [{"named": [3]}],
    ],
)
def test_wrong_json_is_refused(document: object) -> None:
    with pytest.raises(ConfigurationError):
        read_script(document)


def test_many_threads_share_a_script_without_losing_or_doubling_a_fault() -> None:
    faults = Faults.parse("binance.klines=503x300,500x200")
    with ThreadPoolExecutor(8) as pool:
        seen = [fault.status for fault in pool.map(lambda _: faults.next(KLINES), range(1000))]
    assert (seen.count(503), seen.count(500), seen.count(None)) == (300, 200, 500)


def test_clearing_heals_and_an_unknown_endpoint_is_refused() -> None:
    faults = Faults.parse("binance.klines=503x*")
    faults.clear(KLINES)
    assert faults.next(KLINES) == Fault()
    with pytest.raises(ConfigurationError, match=r"known: coinpaprika\.tickers"):
        faults.set("binance.kline", [])


def test_a_pattern_names_every_endpoint_it_fits() -> None:
    assert matching("*") == ENDPOINTS
    assert matching("*.klines") == (KLINES,)


class TestDamage:
    """What each damage makes of an answer."""

    @pytest.fixture
    def hurt(self):
        def apply(name: str, body: bytes = BODY) -> Answer:
            return Fault(named=(name,)).apply(Answer(200, body), refuse, NOW)

        return apply

    @pytest.mark.parametrize("name", ["truncated", "cut", "html", "empty"])
    def test_no_json_is_left(self, hurt, name: str) -> None:
        with pytest.raises(json.JSONDecodeError):
            json.loads(hurt(name).body)

    def test_nan_is_accepted_by_lenient_parsers_only(self, hurt) -> None:
        first = json.loads(hurt("nan").body)[0]
        assert first[0] == 1767571200000
        assert first[1] != first[1]
        with pytest.raises(ValueError, match="NaN"):
            json.loads(hurt("nan").body, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))

    def test_nan_takes_a_whole_number_where_there_is_no_other(self, hurt) -> None:
        assert hurt("nan", b'[{"value":"13"}]').body == b'[{"value":NaN}]'
        assert hurt("nan", b"{}").body == b"{}"

    def test_cut_announces_more_than_it_sends(self, hurt) -> None:
        answer = hurt("cut")
        assert len(answer.body) < answer.announced == len(BODY)

    def test_html_is_a_bad_gateway(self, hurt) -> None:
        assert (hurt("html").status, hurt("html").media_type) == (502, "text/html")


def test_an_error_status_speaks_with_the_vendors_body_and_keeps_what_the_fault_adds() -> None:
    answer = parse_step("429:30").apply(Answer(200, BODY), refuse, NOW)
    assert (answer.status, answer.body, answer.headers) == (429, b"refused", {"Retry-After": "30"})


def test_a_fault_can_replace_the_body_alone() -> None:
    answer = Fault(body="[]").apply(Answer(200, BODY, headers={"A": "1"}), refuse, NOW)
    assert (answer.status, answer.body, answer.headers) == (200, b"[]", {"A": "1"})


def test_ok_changes_nothing() -> None:
    answer = Answer(200, BODY)
    assert Fault().apply(answer, refuse, NOW) == answer
