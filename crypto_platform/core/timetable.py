"""When each job runs, UTC: what the schedules are made of, and the time machine's clock. Nothing asks the time here."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import pairwise
from typing import Final

COLLECT, HOURLY, TRAIN = "collect_job", "hourly_job", "train_job"
EXPERIMENT, REPORT, RETRAIN_DECISION = "experiment_job", "report_job", "retrain_decision_job"

DAY: Final = timedelta(days=1)
EVERY_HOUR: Final = range(24)
RETRAIN_SENSOR: Final = "retrain_sensor"  # not of the timetable: it looks at the checks of each decision
SENSOR_INTERVAL: Final = timedelta(minutes=1)  # between two looks of the retrain sensor at the decision checks


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a job runs, and why at that minute.

    Parameters
    ----------
    job : str
    minutes : tuple of int
        Of each of the hours, ascending.
    why : str
    hours : range
        Of each day, UTC.
    partitioned : bool
        Whether the job works symbol by symbol.
    """

    job: str
    minutes: tuple[int, ...]
    why: str
    hours: range = EVERY_HOUR
    partitioned: bool = True

    @property
    def cron(self) -> str:
        """As a cron line.

        Examples
        --------
        >>> Cadence("tea", (10,), "thirst", range(0, 24, 2)).cron
        '10 */2 * * *'
        """
        whole_day = self.hours.start == 0 and self.hours.stop == 24 and len(self.hours) > 1
        step = "*" if self.hours.step == 1 else f"*/{self.hours.step}"
        hours = step if whole_day else ",".join(map(str, self.hours))
        return f"{','.join(map(str, self.minutes))} {hours} * * *"

    @property
    def interval(self) -> timedelta:
        """Shortest time between two ticks."""
        minutes = [60 * hour + minute for hour in self.hours for minute in self.minutes]
        return timedelta(minutes=min(b - a for a, b in pairwise([*minutes, minutes[0] + 24 * 60])))

    def ticks(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Moments of the ticks with after < tick ≤ until, ascending; both aware UTC."""
        day = datetime.combine(after.date(), time(), after.tzinfo)
        while day <= until:
            for hour in self.hours:
                for minute in self.minutes:
                    moment = day + timedelta(hours=hour, minutes=minute)
                    if after < moment <= until:
                        yield moment
            day += DAY


CADENCES: Final = (
    Cadence(COLLECT, (3, 18, 33, 48), "off the quarter hours, at which everybody else calls"),
    Cadence(HOURLY, (5,), "the hour's candle is final 2 minutes after its end"),
    Cadence(TRAIN, (20,), "after the day's first forecast", range(1)),
    Cadence(EXPERIMENT, (10,), "after the hour's outcomes", range(0, 24, 2)),
    Cadence(REPORT, (12, 42), "after the hour's forecasts and the experiment", partitioned=False),
    Cadence(RETRAIN_DECISION, (40,), "between the ticks that write what it reads", range(0, 24, 6)),
)
