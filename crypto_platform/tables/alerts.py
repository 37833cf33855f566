"""What was worth telling, and whom it reached."""

from sqlalchemy import Column, ForeignKey, Index, String, Table

from crypto_platform.tables.columns import SYMBOL_LENGTH, count, instant, metadata, text

KEY_LENGTH = 300
TARGET_LENGTH = 20
LINE_LENGTH = 500

alerts = Table(
    "alerts",
    metadata,
    Column(
        "key", String(KEY_LENGTH), primary_key=True, comment="What makes it the same alert", info={"unit": "identifier"}
    ),
    Column("kind", String(20), nullable=False, comment="What sort of thing it tells", info={"unit": "word"}),
    text("about", "What the thing is an instance of: a job, a check, a horizon"),
    Column(
        "symbol",
        String(SYMBOL_LENGTH),
        nullable=True,
        comment="Ticker or vendor it concerns; NULL = the whole platform",
        info={"unit": "ticker"},
    ),
    text("summary", "The alert in one line", length=LINE_LENGTH),
    text("link", "Path of its page in the web interface", length=LINE_LENGTH),
    instant("raised_at", "When what it tells happened, or was seen"),
    text("subject", "The lasting condition that it says has begun, or goes on; NULL for an event", nullable=True),
    instant("cleared_at", "When that condition was seen to be over; NULL until then", nullable=True),
    comment="One row per thing worth telling.",
    info={"grain": "alert"},
)
Index("ix_alerts_raised_at", alerts.c.raised_at)
Index("ix_alerts_subject", alerts.c.subject, alerts.c.raised_at)

alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("target", String(TARGET_LENGTH), primary_key=True, comment="slack, email or webhook", info={"unit": "name"}),
    Column(
        "key",
        String(KEY_LENGTH),
        ForeignKey("alerts.key"),
        primary_key=True,
        comment="The alert",
        info={"unit": "identifier"},
    ),
    count("attempts", "How often it was tried"),
    instant("attempted_at", "When it was tried last", nullable=True),
    instant("delivered_at", "When the target took it; NULL until then", nullable=True),
    text("last_error", "Why the last attempt failed; NULL where none did", nullable=True, length=LINE_LENGTH),
    comment="One row per alert and target that was set when it was raised.",
    info={"grain": "target, alert"},
)
Index("ix_alert_deliveries_pending", alert_deliveries.c.target, alert_deliveries.c.delivered_at)
