"""From when on a symbol that warms up is forecast again."""

import sqlalchemy as sa
from alembic import op
from crypto_platform.tables.columns import UTCDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP VIEW latest_predictions")
    op.add_column(
        "predictions",
        sa.Column(
            "resumes_at",
            UTCDateTime(),
            nullable=True,
            comment="First prediction_timestamp after a warm-up that no further hour interrupts, where that is the reason",
        ),
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
            missing_features,
            resumes_at
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
