"""What the upstream APIs gave: snapshots, candles, revisions, sentiment, and what was refused."""

from sqlalchemy import Boolean, CheckConstraint, Column, Index, Integer, String, Table, Text, false

from crypto_platform.tables.columns import SYMBOL_LENGTH, count, document, instant, metadata, number, symbol, text

SOURCE = "Vendor, with `simulated:` or `recorded:` before it where the data is not live"
KNOWN_AT = "First moment this platform could have read the row"


def _known_at_estimated() -> Column[bool]:
    return Column(
        "known_at_estimated",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="True where the row was loaded afterwards: known_at = event time + publication lag",
        info={"unit": "flag"},
    )


market_data = Table(
    "market_data",
    metadata,
    symbol(),
    instant("timestamp", "The vendor's own time of the snapshot", primary_key=True),
    number("price_usd", "USD", "Price, averaged over exchanges by the vendor", check="> 0"),
    number("market_cap", "USD", "Market capitalization; NULL where the source gives none", check=">= 0"),
    number("total_volume", "USD", "Traded value over the last 24 hours", check=">= 0"),
    number("price_change_24h", "percent", "Price change over 24 hours"),
    number("price_change_7d", "percent", "Price change over 7 days"),
    number("price_change_30d", "percent", "Price change over 30 days"),
    number("high_24h", "quote currency", "Highest price of our own closed candles of the last 24 hours", check="> 0"),
    number("low_24h", "quote currency", "Lowest price of our own closed candles of the last 24 hours", check="> 0"),
    number("circulating_supply", "coins", "Coins in circulation; NULL where the source gives none", check=">= 0"),
    number("total_supply", "coins", "Coins in existence; NULL where the source gives none", check=">= 0"),
    instant("known_at", KNOWN_AT),
    text("source", SOURCE),
    comment="One row per symbol and vendor snapshot.",
    info={"grain": "symbol, snapshot"},
)

ohlcv_data = Table(
    "ohlcv_data",
    metadata,
    symbol(),
    instant("timestamp", "Start of the hour the candle covers", primary_key=True),
    number("open", "quote currency", "First trade of the hour", check="> 0", nullable=False, quantity="price"),
    number("high", "quote currency", "Highest trade of the hour", check="> 0", nullable=False, quantity="price"),
    number("low", "quote currency", "Lowest trade of the hour", check="> 0", nullable=False, quantity="price"),
    number("close", "quote currency", "Last trade of the hour", check="> 0", nullable=False, quantity="price"),
    number(
        "volume_base",
        "coins",
        "Traded amount; 0 in an hour without a trade",
        check=">= 0",
        nullable=False,
        quantity="volume",
    ),
    number(
        "volume",
        "quote currency",
        "Traded value; NULL where the source gives none",
        check=">= 0",
        quantity="quote_volume",
    ),
    number("trades", "count", "Number of trades; NULL where the source gives none", check=">= 0"),
    text("source", SOURCE),
    instant("known_at", KNOWN_AT),
    _known_at_estimated(),
    CheckConstraint("high >= low", name="high_below_low"),
    CheckConstraint("close >= low AND close <= high", name="close_outside_range"),
    CheckConstraint("open >= low AND open <= high", name="open_outside_range"),
    comment="One row per symbol and closed hour; a missing hour has no row.",
    info={"grain": "symbol, hour"},
)

_REVISED = ("open", "high", "low", "close", "volume_base", "volume", "trades")
ohlcv_revisions = Table(
    "ohlcv_revisions",
    metadata,
    symbol(),
    instant("timestamp", "Start of the hour the candle covers", primary_key=True),
    instant("seen_at", "When the restated values were first read", primary_key=True),
    *(
        number(f"{age}_{name}", next(c.info["unit"] for c in ohlcv_data.c if c.name == name), f"{age} `{name}`")
        for age in ("old", "new")
        for name in _REVISED
    ),
    text("source", SOURCE),
    text("old_source", "Source of the old values; NULL where it is `source`", nullable=True),
    comment="One row per restatement of a closed candle.",
    info={"grain": "symbol, hour, restatement"},
)

sentiment_data = Table(
    "sentiment_data",
    metadata,
    instant("timestamp", "Day the index stands for, 00:00 UTC", primary_key=True),
    Column(
        "fear_greed_value",
        Integer,
        CheckConstraint("fear_greed_value >= 0 AND fear_greed_value <= 100", name="fear_greed_value_range"),
        nullable=False,
        comment="Fear and greed index, 0 = extreme fear, 100 = extreme greed",
        info={"unit": "index points"},
    ),
    text("fear_greed_classification", "The vendor's word for the value"),
    instant("known_at", KNOWN_AT),
    _known_at_estimated(),
    text("source", SOURCE),
    comment="One row per day the index was published for; some days have none. Data: alternative.me.",
    info={"grain": "day"},
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String(64), primary_key=True, comment="SHA-256 of source, dataset, reason and payload"),
    text("source", SOURCE),
    text("dataset", "Table the row was meant for"),
    Column("symbol", String(SYMBOL_LENGTH), nullable=True, comment="NULL where the dataset has no symbols"),
    text("reason", "Rule it broke"),
    Column("payload", Text, nullable=False, comment="The row as it came, cut at 2,000 characters"),
    instant("seen_at", "When it was first refused"),
    comment="One row per upstream row that was refused.",
    info={"grain": "refused row"},
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("dataset", String(64), primary_key=True, comment="Table or step the mark is for"),
    symbol(),
    instant("watermark", "All work before this instant is done"),
    text("source", "The series' primary vendor, pinned at its first row", nullable=True),
    instant("since", "Work begins here; NULL where a step has no beginning of its own", nullable=True),
    document("details", "What the step wants to remember", nullable=True),
    count("revision", "How often what the step reads has changed", server_default="0"),
    text("follows", "Another symbol whose candles the step reads for this one", nullable=True),
    comment="One row per dataset and symbol: how far it is done. Written with the rows it speaks of.",
    info={"grain": "dataset, symbol"},
)

ohlcv_gaps = Table(
    "ohlcv_gaps",
    metadata,
    symbol(),
    instant("gap_start", "First missing hour", primary_key=True),
    instant("gap_end", "End of the last missing hour"),
    instant("found_at", "When it was first seen"),
    count("attempts", "How often the sources were asked for it since it was found"),
    instant("next_attempt_at", "When they are asked again"),
    document("asked", "Sources that answered without these hours at the last attempt", nullable=False),
    text("filled_from", "Source whose candles stand in for the primary's; NULL where no candle does", nullable=True),
    CheckConstraint("gap_end > gap_start", name="ends_after_its_start"),
    comment="One row per stretch of hours between two stored candles that has none, or stand-ins of one other source.",
    info={"grain": "symbol, gap"},
)

ohlcv_crosschecks = Table(
    "ohlcv_crosschecks",
    metadata,
    symbol(),
    instant("timestamp", "Start of the hour", primary_key=True),
    Column("source", String(200), primary_key=True, comment="The other source", info={"unit": "text"}),
    number("close", "quote currency", "Close of the other source", check="> 0", nullable=False),
    number("own_close", "quote currency", "Close of the stored candle at that time", check="> 0", nullable=False),
    instant("checked_at", "When both were compared"),
    comment="One row per hour whose candle was compared with another source.",
    info={"grain": "symbol, hour, other source"},
)

imported_files = Table(
    "imported_files",
    metadata,
    Column("file", String(300), primary_key=True, comment="Name of the file, without its folder"),
    symbol(),
    Column("sha256", String(64), nullable=False, comment="Of its bytes", info={"unit": "hash"}),
    text("source", SOURCE),
    count("candles", "Sound candles it holds"),
    count("rejected", "Rows of it that were refused"),
    instant("imported_at", "When it was read"),
    comment="One row per file of bulk history that was read: an unchanged one is not read again.",
    info={"grain": "file, symbol"},
)

vendor_states = Table(
    "vendor_states",
    metadata,
    Column("vendor", String(40), primary_key=True, comment="Who offers the API", info={"unit": "name"}),
    instant("free_at", "When the next request may begin, by the vendor's rate limit", nullable=True),
    text("month", "Month that `calls` counts, as 2026-01", nullable=True),
    count("calls", "Requests of that month"),
    count("failures", "Calls that failed in a row, retries included in each"),
    instant("open_until", "Not asked before then, after too many failures; NULL = asked", nullable=True),
    text("last_failure", "What the last failure was", nullable=True, length=500),
    instant("last_failure_at", "When it was", nullable=True),
    comment="One row per vendor: its rate limit, quota and health, shared by all processes.",
    info={"grain": "vendor"},
)

Index("ix_ohlcv_data_timestamp", ohlcv_data.c.timestamp)
