"""Laws of the ensemble and of the signal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_platform.core.signals import Reason, Signal, SignalRules, combine, judge

share = st.floats(0, 1)
maybe_share = st.one_of(st.just(np.nan), share)
ridge = st.one_of(st.just(np.nan), st.just(0.0), st.floats(-0.1, 0.1))
scale = st.one_of(st.just(np.nan), st.floats(0, 0.2))


@given(st.lists(st.tuples(maybe_share, maybe_share, maybe_share, ridge), min_size=1, max_size=20))
def test_the_ensemble_stays_within_its_models(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows)
    classifiers, returns = table[:, :3], table[:, 3]
    ensemble = combine(classifiers, returns)
    for p, agreement, votes, own, r in zip(
        ensemble.prob_up, ensemble.agreement, ensemble.votes, classifiers, returns, strict=True
    ):
        given_ones = own[np.isfinite(own)]
        assert votes == len(given_ones) + (np.isfinite(r) and r != 0)
        assert np.isnan(p) == (len(given_ones) < 2)
        assert np.isnan(agreement) == (np.isnan(p) or p == 0.5)
        if np.isfinite(p):
            assert given_ones.min() - 1e-12 <= p <= given_ones.max() + 1e-12
        if np.isfinite(agreement):
            assert 0 <= agreement <= 1
            assert agreement * votes == pytest.approx(round(agreement * votes))


@given(st.tuples(share, share, share), st.floats(-0.1, 0.1).filter(bool))
def test_the_order_of_classifiers_does_not_matter(own: tuple[float, ...], r: float) -> None:
    one, other = (combine(np.array([row]), np.array([r])) for row in (own, own[::-1]))
    assert one.prob_up == pytest.approx(other.prob_up)
    assert one.votes == other.votes


@pytest.mark.parametrize(
    ("own", "r", "agreement"),
    [
        ((0.6, 0.6, 0.6), 0.01, 1.0),
        ((0.6, 0.6, 0.6), -0.01, 0.75),
        ((0.6, 0.6, 0.4), -0.01, 0.5),
        ((0.6, 0.6, 0.4), 0.0, 2 / 3),
        ((0.4, 0.4, np.nan), -0.01, 1.0),
        ((0.5, 0.5, 0.5), 0.01, np.nan),
    ],
)
def test_votes_worked_out_by_hand(own: tuple[float, ...], r: float, agreement: float) -> None:
    np.testing.assert_allclose(combine(np.array([own]), np.array([r])).agreement, [agreement])


@st.composite
def rules(draw: st.DrawFn) -> SignalRules:
    return SignalRules(
        buy=draw(st.floats(0.5, 1, exclude_min=True)),
        sell=draw(st.floats(0, 0.5, exclude_max=True)),
        agreement=draw(st.floats(0.5, 1)),
        fee_bps=draw(st.floats(0, 50)),
        slippage_bps=draw(st.floats(0, 50)),
    )


@given(share, maybe_share, scale, rules(), st.booleans(), st.booleans())
def test_hold_has_a_reason_and_nothing_else_has(
    p: float, agreement: float, m: float, chosen: SignalRules, expired: bool, novel: bool
) -> None:
    verdict = judge(p, agreement, m, chosen, expired=expired, novel=novel)
    assert (verdict.signal is Signal.HOLD) == (verdict.reason is not None)
    if verdict.signal is not Signal.HOLD:
        assert verdict.before_costs is verdict.signal
        assert not expired
        assert not novel
        assert abs(verdict.expected_edge or 0) > chosen.round_trip_cost
    if verdict.reason is Reason.EDGE_BELOW_COST:
        assert verdict.before_costs is not Signal.HOLD
    elif verdict.reason is not None:
        assert verdict.before_costs is Signal.HOLD
    for name in ("expected_edge", "break_even"):
        value = getattr(verdict, name)
        assert value is None or np.isfinite(value)


@given(share, share, st.floats(0.001, 0.2), rules(), st.floats(0, 0.3), st.sampled_from(["buy", "sell", "agreement"]))
def test_stricter_thresholds_never_add_a_signal(
    p: float, agreement: float, m: float, chosen: SignalRules, more: float, which: str
) -> None:
    values: dict[str, Any] = {n: getattr(chosen, n) for n in ("buy", "sell", "agreement", "fee_bps", "slippage_bps")}
    values[which] += -more if which == "sell" else more
    strict = judge(p, agreement, m, SignalRules(**values))
    if strict.signal is not Signal.HOLD:
        assert judge(p, agreement, m, chosen).signal is strict.signal


@given(share, share, st.floats(0.001, 0.2), rules(), st.floats(0, 100))
def test_higher_costs_never_add_a_signal_nor_change_the_one_before_costs(
    p: float, agreement: float, m: float, chosen: SignalRules, more: float
) -> None:
    dear = SignalRules(chosen.buy, chosen.sell, chosen.agreement, chosen.fee_bps + more, chosen.slippage_bps)
    cheap_verdict, dear_verdict = judge(p, agreement, m, chosen), judge(p, agreement, m, dear)
    assert dear_verdict.before_costs is cheap_verdict.before_costs
    if dear_verdict.signal is not Signal.HOLD:
        assert cheap_verdict.signal is dear_verdict.signal


@given(st.floats(0.001, 0.2), rules())
def test_at_the_break_even_probability_the_edge_pays_the_costs(m: float, chosen: SignalRules) -> None:
    verdict = judge(0.5, 1.0, m, chosen)
    assert verdict.break_even is not None
    assert (2 * verdict.break_even - 1) * m == pytest.approx(chosen.round_trip_cost, abs=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.52, 0.6])
@pytest.mark.parametrize("agreement", [0.5, 1.0])
def test_what_a_model_cannot_do_is_said_before_what_it_says(p: float, agreement: float) -> None:
    assert judge(p, agreement, 0.01, SignalRules(), novel=True).reason is Reason.NOVEL
    assert judge(p, agreement, 0.01, SignalRules(), novel=True, expired=True).reason is Reason.MODEL_EXPIRED


def test_the_sides_mirror_each_other() -> None:
    free = SignalRules(fee_bps=0, slippage_bps=0)
    assert judge(0.6, 1.0, 0.01, free).signal is Signal.BUY
    assert judge(0.4, 1.0, 0.01, free).signal is Signal.SELL
    assert judge(0.5, np.nan, 0.01, free).reason is Reason.LOW_CONFIDENCE
    assert judge(0.6, 0.5, 0.01, free).reason is Reason.DISAGREEMENT
    assert judge(0.6, 1.0, 0.01, free, expired=True).reason is Reason.MODEL_EXPIRED
    assert judge(0.6, 1.0, 0.01, free, novel=True).reason is Reason.NOVEL
    assert judge(0.6, 1.0, 0.01, SignalRules()).reason is Reason.EDGE_BELOW_COST
    assert judge(0.6, 1.0, np.nan, free).signal is Signal.HOLD
