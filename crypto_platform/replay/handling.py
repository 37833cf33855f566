"""What the platform does about each fault of the catalogue, declared beside it; tests hold both to their word."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from crypto_platform.core.bars import FROZEN_HOURS
from crypto_platform.replay.catalogue import catalogue


class Handling(Enum):
    """Ways to meet a fault; the value says in words which it is."""

    USED = "The answer is as good as any other: nothing is lost, nothing wrong is stored."
    ASKED_AGAIN = (
        "Asked for again within the same collection, up to four times, each wait longer and with jitter, or as long as "
        "the vendor asks where that is half a minute at most. If it lasts: an error that names the vendor and the "
        "setting, nothing is stored, other vendors' candles stand in, and the next collection catches up."
    )
    LEFT_ALONE = (
        "The vendor asks for a longer wait than a call has: an error at once, and nobody asks it before that time."
    )
    REFUSED = (
        "An error at once that names the vendor and what to check, since asking again cannot help. Nothing of the "
        "answer is stored; the next collection asks anew and catches up."
    )
    ROW_REFUSED = (
        "The row goes to `quarantine` with this reason, the others are stored. Its hour is missing until an answer "
        "has it right, which each collection of the next two days asks for, and later ones ever more rarely."
    )
    MISSING = (
        "What came is stored; what did not is asked for again as above, and is a row of `ohlcv_gaps` until then. Hours "
        "before the first candle, which nothing tells from those before a listing, are no gap: they are asked for "
        "again once a day, and by each `crypto-platform backfill`."
    )
    BELIEVED = (
        "Stored: nothing tells it from the truth, and crashes are real. The check named here warns. A restated hour is "
        "read again for a day, so when the vendor corrects itself the right value takes its place; "
        "`ohlcv_revisions` keeps both."
    )


_H: Final = Handling
HANDLED: Final[Mapping[str, tuple[Handling, str]]] = {
    "ok": (_H.USED, ""),
    "delay": (_H.USED, "beyond `CRYPTO_PLATFORM_HTTP_TIMEOUT_SECONDS`: asked again"),
    "STATUS": (_H.ASKED_AGAIN, "408, 425, 429 and from 500 on; any other is refused"),
    "401": (_H.REFUSED, "for a minute no other symbol asks either"),
    "402": (_H.REFUSED, "as a used-up quota; for a minute no other symbol asks either"),
    "403": (_H.REFUSED, "for a minute no other symbol asks either"),
    "404": (_H.REFUSED, "of this symbol alone; a month that the archive lacks is none, its days are tried"),
    "418": (_H.LEFT_ALONE, ""),
    "429": (_H.ASKED_AGAIN, "or left alone, where it asks for more than half a minute"),
    "451": (_H.REFUSED, ""),
    "503": (_H.ASKED_AGAIN, ""),
    "withhold": (_H.MISSING, ""),
    "restated": (_H.BELIEVED, "`candles_are_not_restated`"),
    "negative": (_H.ROW_REFUSED, "non_positive_price"),
    "zero": (_H.ROW_REFUSED, "non_positive_price; missing from a price index, whose word it is for not listed yet"),
    "null": (_H.ROW_REFUSED, "non_finite_price, malformed"),
    "high_below_low": (_H.ROW_REFUSED, "high_below_low"),
    "close_outside": (_H.ROW_REFUSED, "close_outside_range"),
    "negative_volume": (_H.ROW_REFUSED, "negative_volume"),
    "duplicate": (_H.ROW_REFUSED, "duplicate, contradictory"),
    "off_grid": (_H.ROW_REFUSED, "off_grid"),
    "frozen": (_H.BELIEVED, f"`prices_move`; after {FROZEN_HOURS} such hours refused as `frozen_price`"),
    "jump": (_H.BELIEVED, "`prices_do_not_jump`"),
    "scaled": (_H.BELIEVED, "`prices_do_not_jump`, `sources_agree`"),
    "future": (_H.ROW_REFUSED, "future"),
    "unsorted": (_H.USED, ""),
    "no_rows": (_H.MISSING, ""),
    "header": (_H.USED, ""),
    "seconds": (_H.USED, ""),
    "type1": (_H.REFUSED, "another source may know the symbol"),
    "type2": (_H.REFUSED, "another source may know the symbol"),
    "type99": (_H.ASKED_AGAIN, ""),
    "cooldown": (_H.ASKED_AGAIN, "after the time it names"),
    "type101": (_H.USED, "with a warning in the log"),
    "err": (_H.REFUSED, ""),
    "invalid_symbol": (_H.REFUSED, "another source may know the symbol"),
    "too_many": (_H.ASKED_AGAIN, ""),
    "unavailable": (_H.ASKED_AGAIN, ""),
    "unknown_pair": (_H.REFUSED, "another source may know the symbol"),
    "no_page": (_H.REFUSED, ""),
    "null_numbers": (_H.USED, "what it does not say is NULL"),
    "empty_numbers": (_H.USED, "what it does not say is NULL"),
    "null_price": (_H.ROW_REFUSED, "malformed"),
    "zero_price": (_H.ROW_REFUSED, "non_positive_price_usd"),
    "no_cap": (_H.USED, ""),
    "stale": (_H.USED, "at the vendor's own time; `snapshots_are_fresh` looks at that"),
    "metadata_error": (_H.REFUSED, ""),
    "no_data": (_H.REFUSED, ""),
    "as_csv": (_H.REFUSED, ""),
    "late_day": (_H.MISSING, "asked for again; a day that never comes is a hole, never a copy"),
    "two_values": (_H.ROW_REFUSED, "contradictory"),
    "bad_value": (_H.ROW_REFUSED, "outside_0_to_100"),
    "corrupt_zip": (_H.REFUSED, "the file, as a whole"),
    "wrong_checksum": (_H.REFUSED, "the file, as a whole"),
    "truncated": (_H.REFUSED, ""),
    "cut": (_H.ASKED_AGAIN, ""),
    "reset": (_H.ASKED_AGAIN, ""),
    "reset_body": (_H.ASKED_AGAIN, ""),
    "drip": (_H.USED, "where it takes longer than three timeouts in all: asked again"),
    "html": (_H.ASKED_AGAIN, ""),
    "empty": (_H.REFUSED, ""),
    "nan": (_H.REFUSED, ""),
    "redirect": (_H.REFUSED, "never followed: a key must not reach another host"),
    "bomb": (_H.REFUSED, "unpacked to 32 MiB at most"),
    "oversized": (_H.REFUSED, "read to 32 MiB at most"),
    "clock": (_H.USED, "it says which rows are of the future; less than an hour behind ours, which hours run, too"),
}


def faults_page() -> str:
    """The catalogue beside what the platform does about it, as Markdown.

    Returns
    -------
    str
        Every fault once, in the catalogue's order.
    """
    lines = [
        "# Faults of the upstream APIs",
        "",
        "Rendered by `crypto-platform docs` from `crypto_platform/replay`; edits here are lost. The replay server",
        "makes each of these on demand (`crypto-platform replay --list-faults`), and `integration/test_faults.py`",
        "makes them all: a row's tests are those with its name, as in",
        "`make test ARGS='-k \"test_faults and truncated\"'`. `integration/test_fault_storms.py` mixes them at random,",
        "restarts among them: once they are over, the store is as it would be without.",
        "",
        "| the platform's answer | which is |",
        "| --- | --- |",
        *(f"| **{_name(handling)}** | {handling.value} |" for handling in Handling),
        "",
        "| fault | where | what the vendor's answer is | the platform's answer |",
        "| --- | --- | --- | --- |",
    ]
    for entry in catalogue():
        handling, more = HANDLED[entry.name]
        if handling is Handling.ROW_REFUSED:
            reasons, *rest = more.split("; ")
            more = "; ".join([" or ".join(f"`{reason}`" for reason in reasons.split(", ")), *rest])
        where = entry.endpoints.replace("*", r"\*") if entry.endpoints != "*" else "all"
        lines.append(f"| `{entry.name}` | {where} | {entry.what} | {_name(handling)}{': ' if more else ''}{more} |")
    return "\n".join(lines) + "\n"


def _name(handling: Handling) -> str:
    return handling.name.lower().replace("_", " ")
