"""What a turn keeps of what its model was told."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    for name, kind in (
        ("card_version", sa.Integer()),
        ("prompt_digest", sa.LargeBinary()),
        ("headed", sa.Boolean()),
    ):
        op.add_column("turns", sa.Column(name, kind, nullable=True))
