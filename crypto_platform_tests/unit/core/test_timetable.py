"""The timetable says as moments what its cron lines say to Dagster."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile

import pytest
from dagster._utils.schedules import cron_string_iterator, get_smallest_cron_interval

from crypto_platform.core.timetable import CADENCES, Cadence

AFTER = datetime(2024, 2, 28, 21, 40, tzinfo=UTC)  # on a tick of its own, before a leap day
UNTIL = datetime(2024, 3, 2, 0, 20, tzinfo=UTC)


@pytest.mark.parametrize("cadence", CADENCES, ids=lambda cadence: cadence.job)
def test_ticks_are_those_of_the_cron_line(cadence: Cadence) -> None:
    of_cron = cron_string_iterator((AFTER + timedelta(seconds=1)).timestamp(), cadence.cron, "UTC")
    expected = list(takewhile(lambda moment: moment <= UNTIL, of_cron))
    assert list(cadence.ticks(AFTER, UNTIL)) == expected
    assert expected


@pytest.mark.parametrize("cadence", CADENCES, ids=lambda cadence: cadence.job)
def test_the_interval_is_that_of_the_cron_line(cadence: Cadence) -> None:
    assert cadence.interval == get_smallest_cron_interval(cadence.cron)
