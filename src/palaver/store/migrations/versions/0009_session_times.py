"""When sessions were used and end, and by what. Those that are there get their dates from now on."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

YEAR_MS = 365 * 24 * 3_600_000


def upgrade() -> None:
    for name in ("used_ms", "expires_ms"):
        op.add_column("sessions", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("agent", "address"):
        op.add_column("sessions", sa.Column(name, sa.Text(), nullable=True))
    now_ms = time.time_ns() // 1_000_000
    dated = sa.text("UPDATE sessions SET used_ms = :now_ms, expires_ms = :expires_ms")
    op.get_bind().execute(dated, {"now_ms": now_ms, "expires_ms": now_ms + YEAR_MS})
