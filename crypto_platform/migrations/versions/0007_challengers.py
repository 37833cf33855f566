"""Challengers: an alias may point to no bundle any more."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("model_aliases", schema=None) as batch_op:
        batch_op.alter_column(
            "version_to",
            existing_type=sa.String(length=64),
            existing_nullable=False,
            nullable=True,
            existing_comment="Bundle it points to",
            comment="Bundle it points to; NULL = to none any more, as of a challenger that was promoted or dropped",
        )
