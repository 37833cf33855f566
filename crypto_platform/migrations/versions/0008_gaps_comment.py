"""What a row of `ohlcv_gaps` is, said in full."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "ohlcv_gaps",
            "One row per stretch of hours between two stored candles that has none, or stand-ins of one other source.",
        )
