"""Optional features; marks that tell whether what a step reads has changed while it worked."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FEATURES = {
    "turnover_24h": "ln(traded value of 24 hours / market capitalization), as known then",
    "btc_ret_1": "ret_1 of BTC; NULL for BTC itself",
    "btc_ret_24": "ret_24 of BTC; NULL for BTC itself",
    "ret_24_minus_btc": "ret_24 - ret_24 of BTC; NULL for BTC itself",
    "btc_corr_72": "Correlation of hourly log returns with those of BTC over 72; NULL for BTC itself",
}


def upgrade() -> None:
    for name, comment in FEATURES.items():
        op.add_column("features", sa.Column(name, sa.Double(), nullable=True, comment=comment))
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
        batch_op.add_column(
            sa.Column(
                "follows",
                sa.String(length=200),
                nullable=True,
                comment="Another symbol whose candles the step reads for this one",
            )
        )
        batch_op.create_check_constraint(op.f("ck_watermarks_revision_range"), "revision >= 0")
