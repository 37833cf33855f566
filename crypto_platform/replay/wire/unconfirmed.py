"""Points of the vendors' contracts that no public document or capture confirms."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Our best guess at each such point, so that a test can turn it the other way.

    Parameters
    ----------
    cryptocompare_limit_error_type : int
        `Type` of the answer to a limit out of bounds.
    coindesk_default_limit : int
        Rows without `limit`; 30 is documented for days only.
    coindesk_hour_type : str
        `TYPE` of an hourly row; "986" is documented for days only.
    coindesk_before_listing : {"short_page", "not_found"}
        What a page that lies wholly before the first candle is: an empty page, or 404 with
        `other_info.first`. A page across the listing is short either way.
    fear_greed_delay : timedelta
        How long after 00:00 UTC the row of the day appears.
    """

    cryptocompare_limit_error_type: int = 2
    coindesk_default_limit: int = 168
    coindesk_hour_type: str = "985"
    coindesk_before_listing: Literal["short_page", "not_found"] = "short_page"
    fear_greed_delay: timedelta = timedelta(0)
