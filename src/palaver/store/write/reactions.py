"""Adds reactions to messages, and takes them away."""

from sqlalchemy import bindparam, delete, func, select

from palaver.errors import Code, Refused
from palaver.model import EventType
from palaver.store.engine.statement import Statement, inserting, matching
from palaver.store.schema import actors, reactions
from palaver.store.write.messages import MessageCommand
from palaver.store.write.transaction import Transaction

KINDS_MAX, REACTIONS_MAX = 20, 1_000
"""So many kinds, and so many of all of them, has one message."""
_THERE = matching(
    select(reactions.c.emoji, func.count()).group_by(reactions.c.emoji),
    *reactions.c["room_key", "seq"],
)
# also as the guest whom the account went into
_here = (
    *(reactions.c[name] == bindparam(f"its_{name}") for name in ("room_key", "seq", "emoji")),
    reactions.c.actor_key.in_(
        select(actors.c.key).where(
            (actors.c.key == bindparam("by")) | (actors.c.became_key == bindparam("by"))
        )
    ),
)
_NAMES = ("its_room_key", "its_seq", "its_emoji", "by")
_MINE = Statement(select(reactions.c.seq).where(*_here).limit(1), *_NAMES)
_REMOVE = Statement(delete(reactions).where(*_here), *_NAMES)
_ADD = inserting(reactions, "room_key", "seq", "emoji", "actor_key", "added_seq")


class SetReaction(MessageCommand[bool], frozen=True, kw_only=True):
    """Lets an actor react to a message with an emoji, or not any more; False: it was so already.

    Refused: `message_not_found` (also where it is deleted), `room_not_found`, `forbidden`, `room_archived`,
    `too_many_reactions`.
    """

    emoji: str
    there: bool

    def apply(self, tx: Transaction) -> bool:
        room, by, said = self.writable(tx)
        if said.deleted_ms is not None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "This message is deleted.")
        mine = (room.key, said.seq, self.emoji, by.key)
        if self.there is bool(_MINE.all(tx.conn, *mine)):
            return False
        if self.there:
            self._check_room_for_it(dict(_THERE.all(tx.conn, room.key, said.seq)))
        type_ = EventType.REACTION_ADDED if self.there else EventType.REACTION_REMOVED
        data = {"msg": self.message, "seq": said.seq, "emoji": self.emoji}
        tx.log(room, type_, by, message_seq=said.seq, data=data)
        if self.there:
            _ADD.run(tx.conn, *mine, room.seq)
        else:
            _REMOVE.run(tx.conn, *mine)
        return True

    def _check_room_for_it(self, there: dict[str, int]) -> None:
        if self.emoji not in there and len(there) >= KINDS_MAX:
            most = f"A message has at most {KINDS_MAX} kinds of reactions: take one of them."
            raise Refused(Code.TOO_MANY_REACTIONS, most)
        if sum(there.values()) >= REACTIONS_MAX:
            most = f"A message has at most {REACTIONS_MAX:,} reactions."
            raise Refused(Code.TOO_MANY_REACTIONS, most)
