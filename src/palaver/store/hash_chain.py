"""The hash chain of a room: damage that no checksum of the database sees is found by it (promise 13).

Each event keeps H(the chain before it, the event, the digest of its content), where H is BLAKE2b of 16 bytes and the
content is what the message said that it created, or its data. Before a room's first event the chain is the 16 bytes of
the room's id, and `rooms.chain` repeats the newest one. What is hashed is JSON of the public values (ids as the world
knows them, texts unescaped), never a database's own form, so that both engines and every copy have the same chain.

The digest of a content is keyed with the `salt` of its row: once content and salt are gone, nobody can find out by
trying what stood there, and the chain still holds. A message has one, and an event with data.

Who changes a content (an edit, a purge) keeps its digest in the row's `digest`; until then that is null, and the digest
computed from the row. Deleting and restoring change nothing of it.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import orjson

from palaver.model import Event, Message

DIGEST_BYTES = 16
SALT_BYTES = 8


def digest_of_message(message: Message, reply_to_seq: int | None, salt: bytes) -> bytes:
    """Of what a message says."""
    said = (
        message.id,
        str(message.role),  # a plain text is faster than its subclass
        str(message.status),
        message.kind,
        message.text,
        message.cid,
        reply_to_seq,
        message.branch,
        dict(message.meta) if message.meta else None,
    )
    return blake2b(orjson.dumps(said), digest_size=DIGEST_BYTES, key=salt).digest()


def digest_of_data(data: Mapping[str, Any], salt: bytes) -> bytes:
    """Of an event's data; nothing for none, which has no salt."""
    if not data:
        return b""
    return blake2b(orjson.dumps(dict(data)), digest_size=DIGEST_BYTES, key=salt).digest()


def linked(before: bytes, event: Event, message_seq: int | None, digest: bytes) -> bytes:
    """The chain after an event with a content of this digest."""
    happened = (event.seq, str(event.type), event.actor, event.at_ms, message_seq)
    return blake2b(before + orjson.dumps(happened) + digest, digest_size=DIGEST_BYTES).digest()
