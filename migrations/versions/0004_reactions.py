"""Messages have reactions.

Revision: 0004, after 0003. Pods of 0003 go on: what they delete leaves its reactions behind, which
nobody is shown.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reactions",
        sa.Column("channel_id", sa.BigInteger(), nullable=False),
        sa.Column("target", sa.BigInteger(), nullable=False),
        sa.Column("emoji", sa.Text(collation="C"), nullable=False),
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "channel_id", "target", "emoji", "user_id", name=op.f("pk_reactions")
        ),
    )


def downgrade() -> None:
    op.drop_table("reactions")
