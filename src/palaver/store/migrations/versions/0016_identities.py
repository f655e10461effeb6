"""Who people are elsewhere, what is good once, and sessions that a provider began."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="identities_actor_key_fk"),
        sa.PrimaryKeyConstraint("issuer", "subject", name="identities_pk"),
    )
    op.create_index("identities_actor", "identities", ["actor_key"])
    op.add_column("sessions", sa.Column("elsewhere", sa.Text(), nullable=True))
    op.create_table(
        "once",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="once_pk"),
    )
    op.create_index("once_expires", "once", ["expires_ms"])
