"""History with gaps, cross-checks and imports; states of the vendors; one rule of a candle a constraint."""

import sqlalchemy as sa
from alembic import op
from crypto_platform.tables.columns import UTCDateTime
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TICKER = "Ticker, as the symbols file names it"
SOURCE = "Vendor, with `simulated:` or `recorded:` before it where the data is not live"


def upgrade() -> None:
    op.create_table(
        "ohlcv_gaps",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment=TICKER),
        sa.Column("gap_start", UTCDateTime(), nullable=False, comment="First missing hour"),
        sa.Column("gap_end", UTCDateTime(), nullable=False, comment="End of the last missing hour"),
        sa.Column("found_at", UTCDateTime(), nullable=False, comment="When it was first seen"),
        sa.Column(
            "attempts", sa.Integer(), nullable=False, comment="How often the sources were asked for it since it was found"
        ),
        sa.Column("next_attempt_at", UTCDateTime(), nullable=False, comment="When they are asked again"),
        sa.Column(
            "asked",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
            comment="Sources that answered without these hours at the last attempt",
        ),
        sa.Column(
            "filled_from",
            sa.String(length=200),
            nullable=True,
            comment="Source whose candles stand in for the primary's; NULL where no candle does",
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_ohlcv_gaps_attempts_range")),
        sa.CheckConstraint("gap_end > gap_start", name=op.f("ck_ohlcv_gaps_ends_after_its_start")),
        sa.PrimaryKeyConstraint("symbol", "gap_start", name=op.f("pk_ohlcv_gaps")),
        comment="One row per stretch of hours, between two candles of the primary source, of which it has none.",
        info={"grain": "symbol, gap"},
    )
    op.create_table(
        "ohlcv_crosschecks",
        sa.Column("symbol", sa.String(length=32), nullable=False, comment=TICKER),
        sa.Column("timestamp", UTCDateTime(), nullable=False, comment="Start of the hour"),
        sa.Column("source", sa.String(length=200), nullable=False, comment="The other source"),
        sa.Column("close", sa.Double(), nullable=False, comment="Close of the other source"),
        sa.Column("own_close", sa.Double(), nullable=False, comment="Close of the stored candle at that time"),
        sa.Column("checked_at", UTCDateTime(), nullable=False, comment="When both were compared"),
        sa.CheckConstraint("close > 0", name=op.f("ck_ohlcv_crosschecks_close_range")),
        sa.CheckConstraint("own_close > 0", name=op.f("ck_ohlcv_crosschecks_own_close_range")),
        sa.PrimaryKeyConstraint("symbol", "timestamp", "source", name=op.f("pk_ohlcv_crosschecks")),
        comment="One row per hour whose candle was compared with another source.",
        info={"grain": "symbol, hour, other source"},
    )
    op.create_table(
        "imported_files",
        sa.Column("file", sa.String(length=300), nullable=False, comment="Name of the file, without its folder"),
        sa.Column("symbol", sa.String(length=32), nullable=False, comment=TICKER),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="Of its bytes"),
        sa.Column("source", sa.String(length=200), nullable=False, comment=SOURCE),
        sa.Column("candles", sa.Integer(), nullable=False, comment="Sound candles it holds"),
        sa.Column("rejected", sa.Integer(), nullable=False, comment="Rows of it that were refused"),
        sa.Column("imported_at", UTCDateTime(), nullable=False, comment="When it was read"),
        sa.CheckConstraint("candles >= 0", name=op.f("ck_imported_files_candles_range")),
        sa.CheckConstraint("rejected >= 0", name=op.f("ck_imported_files_rejected_range")),
        sa.PrimaryKeyConstraint("file", "symbol", name=op.f("pk_imported_files")),
        comment="One row per file of bulk history that was read: an unchanged one is not read again.",
        info={"grain": "file, symbol"},
    )
    op.create_table(
        "vendor_states",
        sa.Column("vendor", sa.String(length=40), nullable=False, comment="Who offers the API"),
        sa.Column(
            "free_at", UTCDateTime(), nullable=True, comment="When the next request may begin, by the vendor's rate limit"
        ),
        sa.Column("month", sa.String(length=200), nullable=True, comment="Month that `calls` counts, as 2026-01"),
        sa.Column("calls", sa.Integer(), nullable=False, comment="Requests of that month"),
        sa.Column(
            "failures", sa.Integer(), nullable=False, comment="Calls that failed in a row, retries included in each"
        ),
        sa.Column(
            "open_until", UTCDateTime(), nullable=True, comment="Not asked before then, after too many failures; NULL = asked"
        ),
        sa.Column("last_failure", sa.String(length=500), nullable=True, comment="What the last failure was"),
        sa.Column("last_failure_at", UTCDateTime(), nullable=True, comment="When it was"),
        sa.CheckConstraint("calls >= 0", name=op.f("ck_vendor_states_calls_range")),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_vendor_states_failures_range")),
        sa.PrimaryKeyConstraint("vendor", name=op.f("pk_vendor_states")),
        comment="One row per vendor: its rate limit, quota and health, shared by all processes.",
        info={"grain": "vendor"},
    )
    with op.batch_alter_table("ohlcv_data", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_ohlcv_data_high_is_highest"), type_="check")
        batch_op.drop_constraint(op.f("ck_ohlcv_data_low_is_lowest"), type_="check")
        batch_op.create_check_constraint(op.f("ck_ohlcv_data_high_below_low"), "high >= low")
        batch_op.create_check_constraint(
            op.f("ck_ohlcv_data_close_outside_range"), "close >= low AND close <= high"
        )
        batch_op.create_check_constraint(op.f("ck_ohlcv_data_open_outside_range"), "open >= low AND open <= high")
    with op.batch_alter_table("ohlcv_revisions", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "old_source",
                sa.String(length=200),
                nullable=True,
                comment="Source of the old values; NULL where it is `source`",
            )
        )
    with op.batch_alter_table("watermarks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "since",
                UTCDateTime(),
                nullable=True,
                comment="Work begins here; NULL where a step has no beginning of its own",
            )
        )
    # A series collected before began at its first candle.
    op.execute(
        "UPDATE watermarks SET since = (SELECT MIN(timestamp) FROM ohlcv_data WHERE ohlcv_data.symbol = watermarks.symbol)"
        " WHERE dataset = 'ohlcv_data'"
    )
