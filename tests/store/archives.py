"""Databases with something in them, whole or damaged, for the tests of verify, backup and copy."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from tests.store.world import opened

from palaver.model import Event, EventType, Room, RoomId
from palaver.store.admin import verify
from palaver.store.columns import id_bytes
from palaver.store.engine.offline import Place, alone
from palaver.store.hash_chain import digest_of_data, digest_of_message, linked
from palaver.store.read.actors import id_of


@dataclass(frozen=True, slots=True)
class Filled:
    """Two rooms: in the first 12 events, the second to tenth of which are messages, the last a retry."""

    first: Room
    second: Room


def filled(url: str, folder: Path) -> Filled:
    return asyncio.run(fill(url, folder))


async def fill(url: str, folder: Path) -> Filled:
    async with opened(url, data_dir=folder) as world:
        ada, bot = await world.person("A\0da \uf8ff"), await world.agent()
        first = await world.room(ada, bot, title="first")
        second = await world.room(ada)
        said = await world.say(first, ada, "with \0 and \uf8ff", meta={"f": 0.1, "n": None})
        await world.say(first, ada, "a reply", reply_to=said.message.id, cid=None)
        for number in range(9):
            await world.say(first, ada, f"{number}", answers=number == 0)
        await world.say(second, ada, "the other room")
        return Filled(first, second)


def execute(url: str, *statements: str) -> None:
    """Does something behind our back, in one transaction, with references unchecked."""

    def work(conn: Connection) -> None:
        if conn.dialect.name == "sqlite":
            conn.execute(text("PRAGMA foreign_keys = OFF"))
            conn.rollback()
        with conn.begin():
            for sql in statements:
                conn.execute(text(sql))

    alone(work, Place(url, writes=True))


def unsalted(url: str) -> None:
    """Makes the chains those of before revision 0010, which had no salts."""

    def work(conn: Connection) -> None:
        chains: dict[int, bytes] = {}
        for room_key, room in conn.execute(text("SELECT key, id FROM rooms")):
            chains[room_key] = id_bytes(f"r_{room.hex()}")
        with conn.begin_nested() if conn.in_transaction() else conn.begin():
            for row in verify._EVENTS.all(conn, -1, 0, 10_000):
                actor = row.actor and id_of(row.actor_kind, row.actor)
                event = Event(RoomId(""), row.seq, row.type, actor, row.at_ms)
                digest = digest_of_data(row.data, b"")
                if row.type is EventType.MESSAGE_CREATED:
                    message = verify._MESSAGE.one(row, RoomId(""), actor, "", *[None] * 5)
                    digest = digest_of_message(message, row.reply_to_seq, b"")
                chain = linked(chains[row.room_key], event, row.message_seq, digest)
                chains[row.room_key] = chain
                place = {"chain": chain, "room": row.room_key, "seq": row.seq}
                change = "UPDATE events SET chain = :chain WHERE room_key = :room AND seq = :seq"
                conn.execute(text(change), place)
            for room_key, chain in chains.items():
                newest = {"chain": chain, "room": room_key}
                conn.execute(text("UPDATE rooms SET chain = :chain WHERE key = :room"), newest)
        conn.commit()

    alone(work, Place(url, writes=True))


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    def work(conn: Connection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in conn.execute(text(sql))]

    return alone(work, Place(url))


def untold(doing: str, done: int, total: int) -> None:
    """Nobody watches the progress."""
    assert doing
    assert 0 <= done <= total
