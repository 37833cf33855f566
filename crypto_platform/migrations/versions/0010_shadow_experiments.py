"""Comments of `ab_test_config` that promise no published arm."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COMMENTS = {
    "split": "Share of hours that the recorded split gives to arm A",
    "publish": "Always false: what is served is the champion's, whatever an experiment says",
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for column, comment in COMMENTS.items():
            op.alter_column("ab_test_config", column, comment=comment)
