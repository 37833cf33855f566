"""Marks that tell whether what a step reads has changed while it worked."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("watermarks", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "revision",
                sa.Integer(),
                server_default="0",
                nullable=False,
                comment="How often what the step reads has changed",
            )
        )
        batch_op.create_check_constraint(op.f("ck_watermarks_revision_range"), "revision >= 0")
