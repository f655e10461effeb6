"""What a person tells of themselves, and bytes such as pictures."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    for name, kind in (("preferences", sa.Text), ("email", sa.Text), ("avatar", sa.LargeBinary)):
        op.add_column("actors", sa.Column(name, kind(), nullable=True))
    op.create_table(
        "blobs",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="blobs_pk"),
    )
