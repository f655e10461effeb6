"""Changes what a message says, and keeps what it said before in the event of the edit.

The version of a message is the seq of its last edit, or its own. Who names none has seen it as it was sent, so that of
two who edit at once the second is told. The row keeps the digest of what was said at first, which the chain holds.
"""

from typing import cast

from msgspec.structs import replace

from palaver.errors import Code, Refused
from palaver.model import ActorId, EventType, Kind, Message, MessageId, Meta, Role
from palaver.model.edits import Edited
from palaver.policy import Action, its_words
from palaver.store.engine.statement import matching, updating
from palaver.store.hash_chain import digest_of_message
from palaver.store.read.edits import version_of
from palaver.store.read.messages import message_of, selected
from palaver.store.schema import messages
from palaver.store.write.command import RoomCommand
from palaver.store.write.messages import naming
from palaver.store.write.speakers import hearing
from palaver.store.write.transaction import Transaction

_STORED = matching(
    selected(*messages.c["reply_to_seq", "salt", "digest"]), messages.c.room_key, messages.c.id
)
_SET = updating(messages.c.id, "text", "meta", "edited_ms", "digest")


class EditMessage(RoomCommand[Edited], frozen=True, kw_only=True):
    """Gives a message another text, and mentions nobody else by it than who is named there; nobody answers it.

    What it says already is no edit. Refused: `room_not_found`, `message_not_found`, `forbidden`, `room_archived`,
    `not_editable`, `edit_conflict` (`version` is not the one that it has).
    """

    message: MessageId
    by: ActorId
    text: str
    version: int | None = None

    def apply(self, tx: Transaction) -> Edited:
        room, by = tx.writable(self.room, self.by)
        row = _STORED.first(tx.conn, room.key, self.message)
        if row is None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message in this room.")
        message = message_of(room.id, row)
        answer = message.role is Role.ASSISTANT and message.author.startswith("a_")
        role = tx.seen_as(room, by)
        author = by.id in {message.author, message.became}
        own = its_words(role, author=author, answer=answer)
        tx.check(Action.EDIT, room, by, own=own)
        if message.deleted_ms is not None or not _is_words(message):
            raise Refused(
                Code.NOT_EDITABLE,
                "This message cannot be edited: it was deleted, or is not words alone of a person or an agent.",
            )
        version = version_of(tx.conn, room.key, message.seq)
        if self.text == message.text:
            return Edited(message=message, version=version)
        if version != (message.seq if self.version is None else self.version):
            raise Refused(
                Code.EDIT_CONFLICT,
                f"Somebody edited this message meanwhile: it is at version {version} now.",
            )
        mentions = hearing(tx, [room.key], [(room.key, self.text)])[room.key].mentions(self.text)
        meta = cast(
            "Meta", {name: message.meta[name] for name in message.meta if name != "mentions"}
        )
        after = replace(message, text=self.text, edited_ms=tx.now_ms, meta=naming(meta, mentions))
        digest = row.digest or digest_of_message(message, row.reply_to_seq, row.salt or b"")
        _SET.run(tx.conn, after.text, after.meta or None, after.edited_ms, digest, message.id)
        data = {"msg": message.id, "seq": message.seq, "was": message.text}
        tx.log(room, EventType.MESSAGE_EDITED, by, message_seq=message.seq, data=data, said=after)
        return Edited(message=after, version=room.seq)


def _is_words(message: Message) -> bool:
    """Whether it is what a person or an agent said, and all that it says is its text."""
    spoken = message.role in {Role.USER, Role.ASSISTANT} and message.kind == Kind.TEXT
    return spoken and "parts" not in message.meta
