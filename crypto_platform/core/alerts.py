"""What is worth telling somebody: alerts, when they are raised, how they are put together, and when to try again.

Instants are arguments, aware UTC; nothing here sends or keeps anything.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

REMINDER: Final = timedelta(hours=24)  # a condition that lasts is told again once a day
LINES: Final = 10  # alerts of one kind that a message spells out; the rest are counted
LONGEST_SUMMARY: Final = 300  # characters
FIRST_PAUSE: Final = timedelta(minutes=1)
LONGEST_PAUSE: Final = timedelta(hours=1)  # a target that is back hears of it within the hour


class Kind(StrEnum):
    """What alerts are about, in the order of messages."""

    RUN = "run_failed"
    VENDOR = "vendor_dead"
    CHECK = "check_failed"
    ROLLBACK = "rolled_back"
    STOP = "retraining_stopped"
    REFUSED = "promotion_refused"
    DECISION = "retrain_decided"
    SIGNAL = "signal_changed"
    TEST = "test"


TITLES: Final[Mapping[Kind, str]] = {
    Kind.RUN: "Failed runs",
    Kind.VENDOR: "Dead providers",
    Kind.CHECK: "Failed checks",
    Kind.ROLLBACK: "Rollbacks",
    Kind.STOP: "Stopped retraining",
    Kind.REFUSED: "Refused promotions",
    Kind.DECISION: "Decisions to retrain",
    Kind.SIGNAL: "Changes of signal",
    Kind.TEST: "Tests",
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell, once.

    Parameters
    ----------
    key : str
        What makes it the same thing: no key is ever told twice to a target.
    kind : Kind
    about : str
        What the thing is an instance of, such as the check that failed: within a kind no one of them hides the others.
    symbol : str or None
        Whom it concerns: a ticker, a vendor; None = the whole platform.
    summary : str
        One line; see `one_line`.
    link : str
        Path of its page in the web interface.
    raised_at : datetime
        When it happened.
    subject : str or None
        The lasting condition that this says has begun, or goes on; None for an event.
    """

    key: str
    kind: Kind
    about: str
    symbol: str | None
    summary: str
    link: str
    raised_at: datetime
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """The newest alert of a condition: when it was raised, and when the condition was over (None: not seen yet)."""

    raised_at: datetime
    cleared_at: datetime | None = None

    def tells(self, at: datetime) -> bool:
        """Whether a failure seen at a moment is told by it already, or older than what it tells.

        Examples
        --------
        >>> from datetime import UTC
        >>> began = datetime(2026, 3, 4, tzinfo=UTC)
        >>> [Episode(began).tells(began + timedelta(hours=h)) for h in (-1, 0, 23, 24)]
        [True, True, True, False]
        >>> Episode(began, began + timedelta(hours=2)).tells(began + timedelta(hours=3))
        False
        """
        if at <= self.raised_at:
            return True
        return (self.cleared_at is None or at < self.cleared_at) and at - self.raised_at < REMINDER


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was seen of lasting conditions of one sort at a moment.

    Parameters
    ----------
    kind : Kind
    about : str
        The sort of condition, such as a check; with a name it is a condition.
    at : datetime
    failing : mapping of str to str
        Why, by name: of a symbol, or of a vendor.
    link : str
        See `Alert`.
    only : frozenset of str or None
        The names it speaks of; None = all, so that what is not failing holds.
    silent : frozenset of str
        Names it does not speak of after all.
    """

    kind: Kind
    about: str
    at: datetime
    failing: Mapping[str, str]
    link: str
    only: frozenset[str] | None = None
    silent: frozenset[str] = frozenset()

    def besides(self, names: frozenset[str]) -> "Evaluation":
        """The same, silent about some names."""
        failing = {name: why for name, why in self.failing.items() if name not in names}
        return replace(self, failing=failing, silent=self.silent | names)

    def subject(self, name: str) -> str:
        """The condition of one name."""
        return f"{self.kind}/{self.about}/{name}"

    def clears(self, subject: str) -> bool:
        """Whether it says that a condition is over."""
        sort, _, name = subject.rpartition("/")
        mine = sort == f"{self.kind}/{self.about}"
        return mine and name not in {*self.failing, *self.silent} and (self.only is None or name in self.only)

    def alert(self, name: str, why: str) -> Alert:
        """What is to be told of a failing name."""
        subject = self.subject(name)
        key = f"{subject}/{self.at.isoformat()}"
        return Alert(key, self.kind, self.about, name, one_line(why), self.link, self.at, subject)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from evaluations: alerts to raise, and conditions that were seen to be over, with the moment."""

    raised: tuple[Alert, ...]
    cleared: tuple[tuple[str, datetime], ...]


def judge(evaluations: Iterable[Evaluation], episodes: Mapping[str, Episode]) -> Verdict:
    """A condition is told when it begins, and again after `REMINDER`, or once it has held in between.

    Parameters
    ----------
    evaluations : iterable of Evaluation
        In any order. Those that were judged before, as `episodes` tells, change nothing.
    episodes : mapping of str to Episode
        By condition; absent where it was never told.
    """
    newest = dict(episodes)
    raised: list[Alert] = []
    cleared: list[tuple[str, datetime]] = []
    for seen in sorted(evaluations, key=lambda evaluation: evaluation.at):
        for subject in [s for s, episode in newest.items() if episode.cleared_at is None and seen.clears(s)]:
            if seen.at > newest[subject].raised_at:
                newest[subject] = replace(newest[subject], cleared_at=seen.at)
                cleared.append((subject, seen.at))
        for name, why in seen.failing.items():
            subject = seen.subject(name)
            if subject not in newest or not newest[subject].tells(seen.at):
                newest[subject] = Episode(seen.at)
                raised.append(seen.alert(name, why))
    return Verdict(tuple(raised), tuple(cleared))


@dataclass(frozen=True, slots=True)
class Section:
    """The alerts of one kind in a message: those spelled out, and how many there are in all."""

    kind: Kind
    alerts: tuple[Alert, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Message:
    """What a target is sent: everything it has not been told, in one piece.

    Parameters
    ----------
    id : str
        Follows from the keys of its alerts.
    title : str
        One line.
    sections : tuple of Section
        In the order of `Kind`.
    sent_at : datetime
    ui_url : str
        Address of the web interface, without a slash at its end.
    """

    id: str
    title: str
    sections: tuple[Section, ...]
    sent_at: datetime
    ui_url: str

    def url(self, alert: Alert) -> str:
        """Address of an alert's page."""
        return self.ui_url + alert.link

    @property
    def text(self) -> str:
        """The message in plain text, without its title."""
        parts = []
        for section in self.sections:
            lines = [f"{TITLES[section.kind]} ({section.count})"]
            for alert in section.alerts:
                whom = f"{alert.symbol}: " if alert.symbol else ""
                lines.append(f"- {alert.raised_at:%Y-%m-%d %H:%M} UTC {alert.about}: {whom}{alert.summary}")
                lines.append(f"  {self.url(alert)}")
            if more := section.count - len(section.alerts):
                lines.append(f"- and {more} more")
            parts.append("\n".join(lines))
        return "\n\n".join(parts)


def compose(alerts: Sequence[Alert], *, sent_at: datetime, ui_url: str, label: str = "") -> Message:
    """One message of any number of alerts.

    Parameters
    ----------
    alerts : sequence of Alert
        At least one.
    label : str
        Said first in the title: that the data is simulated, for one.
    """
    sections = []
    for kind in Kind:
        mine = sorted((a for a in alerts if a.kind is kind), key=lambda a: (a.raised_at, a.key))
        if mine:
            sections.append(Section(kind, tuple(_fairly(mine)[:LINES]), len(mine)))
    counts = ", ".join(f"{TITLES[section.kind].lower()} {section.count}" for section in sections)
    title = f"{f'[{label}] ' if label else ''}crypto_platform: {counts}"
    digest = hashlib.sha256("\n".join(sorted(alert.key for alert in alerts)).encode()).hexdigest()
    return Message(digest[:32], title, tuple(sections), sent_at, ui_url.rstrip("/"))


def _fairly(alerts: Sequence[Alert]) -> list[Alert]:
    """The first of each thing, then the second of each, and so on: of a thousand, one check hides no other."""
    taken: Counter[str] = Counter()
    ranked = []
    for alert in alerts:
        ranked.append((taken[alert.about], alert))
        taken[alert.about] += 1
    return [alert for _, alert in sorted(ranked, key=lambda pair: pair[0])]


def one_line(text: str) -> str:
    r"""A text as one line of at most `LONGEST_SUMMARY` characters.

    Examples
    --------
    >>> one_line("no model\n  of it\t")
    'no model of it'
    """
    joined = " ".join(text.split())
    return joined if len(joined) <= LONGEST_SUMMARY else joined[: LONGEST_SUMMARY - 1] + "…"


def is_due(attempts: int, attempted_at: datetime | None, now: datetime) -> bool:
    """Whether a target is tried again: after a minute, doubling with each attempt in a row to an hour.

    Examples
    --------
    >>> from datetime import UTC
    >>> tried = datetime(2026, 3, 4, tzinfo=UTC)
    >>> [is_due(n, tried, tried + timedelta(minutes=2)) for n in (1, 2, 3)]
    [True, True, False]
    >>> is_due(50, tried, tried + LONGEST_PAUSE), is_due(0, None, tried)
    (True, True)
    """
    if attempted_at is None or attempts == 0:
        return True
    wait: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 10), LONGEST_PAUSE)
    return now - attempted_at >= wait
