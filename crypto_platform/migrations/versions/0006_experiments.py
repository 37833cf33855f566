"""Experiments: the score that is tested, bundles as arms, and the moment somebody stops one."""

import sqlalchemy as sa
from alembic import op
from crypto_platform.tables.columns import UTCDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLE = "ab_test_config"
COMMENTS = {
    "variant_a": "Arm A: a model of whichever bundle is champion, or VERSION/model of one bundle",
    "variant_b": "Arm B, alike",
    "metric": "Score whose hourly difference is tested",
}


def upgrade() -> None:
    # In one statement, which both engines know: making the table anew, as SQLite's batches do, would drop what its
    # results refer to.
    op.execute(
        f"ALTER TABLE {TABLE} ADD COLUMN metric VARCHAR(20) DEFAULT 'correctness' NOT NULL"
        " CONSTRAINT ck_ab_test_config_metric_known CHECK (metric IN ('correctness', 'brier'))"
    )
    op.add_column(
        TABLE,
        sa.Column(
            "stopped_at",
            UTCDateTime(),
            nullable=True,
            comment="When somebody ended it before its time; NULL = nobody did",
        ),
    )
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for name, comment in COMMENTS.items():
            op.alter_column(TABLE, name, comment=comment)
        op.create_table_comment(TABLE, "One row per experiment; immutable but for the moment it is stopped.")
