"""Alerts, and whom they reached."""

import sqlalchemy as sa
from alembic import op
from crypto_platform.tables.columns import UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("key", sa.String(length=300), nullable=False, comment="What makes it the same alert"),
        sa.Column("kind", sa.String(length=20), nullable=False, comment="What sort of thing it tells"),
        sa.Column(
            "about",
            sa.String(length=200),
            nullable=False,
            comment="What the thing is an instance of: a job, a check, a horizon",
        ),
        sa.Column(
            "symbol",
            sa.String(length=32),
            nullable=True,
            comment="Ticker or vendor it concerns; NULL = the whole platform",
        ),
        sa.Column("summary", sa.String(length=500), nullable=False, comment="The alert in one line"),
        sa.Column("link", sa.String(length=500), nullable=False, comment="Path of its page in the web interface"),
        sa.Column("raised_at", UTCDateTime(), nullable=False, comment="When what it tells happened, or was seen"),
        sa.Column(
            "subject",
            sa.String(length=200),
            nullable=True,
            comment="The lasting condition that it says has begun, or goes on; NULL for an event",
        ),
        sa.Column(
            "cleared_at",
            UTCDateTime(),
            nullable=True,
            comment="When that condition was seen to be over; NULL until then",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alerts")),
        comment="One row per thing worth telling.",
        info={"grain": "alert"},
    )
    op.create_index("ix_alerts_raised_at", "alerts", ["raised_at"])
    op.create_index("ix_alerts_subject", "alerts", ["subject", "raised_at"])
    op.create_table(
        "alert_deliveries",
        sa.Column("target", sa.String(length=20), nullable=False, comment="slack, email or webhook"),
        sa.Column("key", sa.String(length=300), nullable=False, comment="The alert"),
        sa.Column("attempts", sa.Integer(), nullable=False, comment="How often it was tried"),
        sa.Column("attempted_at", UTCDateTime(), nullable=True, comment="When it was tried last"),
        sa.Column(
            "delivered_at", UTCDateTime(), nullable=True, comment="When the target took it; NULL until then"
        ),
        sa.Column(
            "last_error",
            sa.String(length=500),
            nullable=True,
            comment="Why the last attempt failed; NULL where none did",
        ),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_alert_deliveries_attempts_range")),
        sa.ForeignKeyConstraint(["key"], ["alerts.key"], name=op.f("fk_alert_deliveries_key_alerts")),
        sa.PrimaryKeyConstraint("target", "key", name=op.f("pk_alert_deliveries")),
        comment="One row per alert and target that was set when it was raised.",
        info={"grain": "target, alert"},
    )
    op.create_index("ix_alert_deliveries_pending", "alert_deliveries", ["target", "delivered_at"])
