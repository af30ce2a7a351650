"""Sessions know the program that opened them; users can be disabled.

Revision: 0002, after 0001. Pods of 0001 go on: both columns have what they leave out.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("sessions", sa.Column("agent", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("sessions", "agent")
    op.drop_column("users", "disabled_at")
