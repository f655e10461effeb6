"""Who asked for an answer, and pays, is one column of its turn, known of each; agents' profiles are their owners'."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"

CONTINUED_MAX = 100
ASKED = """
UPDATE turns SET asker_key = coalesce(
    nullif(payer_key, 0),
    asker_key,
    (SELECT x.actor_key FROM exchanges x WHERE x.turn_id = turns.id),
    (SELECT m.author_key FROM messages m
     WHERE m.room_key = turns.room_key AND m.seq = turns.trigger_seq AND m.role <> 'assistant'))
WHERE asker_key IS NULL OR payer_key > 0
"""
CONTINUED = """
UPDATE turns SET asker_key = (
    SELECT b.asker_key FROM messages m JOIN turns b ON b.message_id = m.id
    WHERE m.room_key = turns.room_key AND m.seq = turns.trigger_seq)
WHERE asker_key IS NULL AND EXISTS (
    SELECT 1 FROM messages m JOIN turns b ON b.message_id = m.id
    WHERE m.room_key = turns.room_key AND m.seq = turns.trigger_seq AND b.asker_key IS NOT NULL)
"""
SET_OFF = """
UPDATE turns SET depth = 1, root_seq = trigger_seq, context_seq = trigger_seq WHERE depth IS NULL
"""


def upgrade() -> None:
    """Goes to this revision."""
    conn = op.get_bind()
    conn.execute(sa.text(ASKED))
    for _ in range(CONTINUED_MAX):
        if not conn.execute(sa.text(CONTINUED)).rowcount:
            break
    conn.execute(sa.text(SET_OFF))
    op.drop_column("turns", "payer_key")
    op.drop_column("agents", "profile_key")
