"""How unlike the training rows each forecast's inputs were."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP VIEW latest_predictions")
    # In place: a batch would make the table anew, which rows that refer to it do not allow on SQLite.
    dialect = op.get_bind().dialect
    op.execute(
        f"ALTER TABLE predictions ADD COLUMN novelty {sa.Double().compile(dialect)} "
        "CONSTRAINT ck_predictions_novelty_range CHECK (novelty >= 0)"
    )
    if dialect.name == "postgresql":
        op.alter_column(
            "predictions", "novelty", comment="Distance from the training rows in units of theirs; above 1.5 novel"
        )
    op.execute(
        """
        CREATE VIEW latest_predictions AS
        SELECT
            symbol,
            horizon,
            prediction_timestamp,
            version,
            candle_timestamp,
            created_at,
            role,
            origin,
            current_price,
            predicted_direction,
            confidence,
            prob_up,
            prob_down,
            predicted_return,
            predicted_price,
            signal,
            signal_before_costs,
            reason,
            ensemble_agreement,
            ensemble_votes,
            expected_edge,
            break_even_probability,
            prob_up_logistic_regression,
            prob_up_random_forest,
            prob_up_gradient_boosting,
            return_ridge_regression,
            novelty,
            missing_features
        FROM (
            SELECT
                predictions.*,
                ROW_NUMBER() OVER (
                    PARTITION BY symbol, horizon ORDER BY prediction_timestamp DESC, created_at DESC, version
                ) AS place
            FROM predictions
            WHERE role = 'champion'
        ) AS ranked
        WHERE place = 1
        """
    )
