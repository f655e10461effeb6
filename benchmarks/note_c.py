"""A baseline: chat persistence as it is usually written, and as one of the project's design notes proposed it.

SQLAlchemy's async ORM on aiosqlite, two tables with UUID keys, one shared conversation, and for each message one
session, one commit and one refresh. History is read by timestamp and OFFSET. aiosqlite is no dependency of Palaver;
where it is missing the benchmark says so.
"""

import uuid
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text, event, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from palaver.clock import SystemClock

NAME = "async ORM, commit and refresh each"
MISSING = f"{NAME}: aiosqlite is not installed"

clock_id = SystemClock().new_id


def available() -> bool:
    """Whether aiosqlite is installed."""
    return find_spec("aiosqlite") is not None


def new_uuid() -> uuid.UUID:
    """A key, made in Python as the note does."""
    return uuid.UUID(hex=clock_id())


class Base(DeclarativeBase):
    """Base of the two models."""


class ChatSession(Base):
    """A conversation."""

    __tablename__ = "chat_sessions"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_uuid)
    title: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), index=True
    )
    updated_at: Mapped[datetime] = mapped_column(
        DateTime(timezone=True), server_default=func.now(), onupdate=func.now(), index=True
    )
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON)


class Message(Base):
    """A message."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_session_timestamp", "session_id", "timestamp"),
        Index("ix_messages_timestamp", "timestamp"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=new_uuid)
    session_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("chat_sessions.id", ondelete="CASCADE")
    )
    content: Mapped[str] = mapped_column(Text)
    sender: Mapped[str] = mapped_column(String(50))
    message_type: Mapped[str] = mapped_column(String(20), default="message")
    timestamp: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON)


class NoteC:
    """The design, on a SQLite file in WAL mode as it advises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._conversation = new_uuid()

    @classmethod
    async def opened(cls, path: Path) -> "NoteC":
        """Makes the tables and the one conversation."""
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}", connect_args={"timeout": 30})

        def tuned(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.close()

        event.listen(engine.sync_engine, "connect", tuned)
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        design = cls(engine)
        async with design._sessions() as session:
            session.add(ChatSession(id=design._conversation, title="Default"))
            await session.commit()
        return design

    async def append(self, _writer: int, text: str) -> None:
        """Adds one message; tries again when the database was locked."""
        while True:
            async with self._sessions() as session:
                message = Message(session_id=self._conversation, content=text, sender="user")
                session.add(message)
                try:
                    await session.commit()
                except OperationalError:
                    continue
                await session.refresh(message)
                return

    async def fill(self, count: int, text: str) -> None:
        """Adds many messages at once, a second apart."""
        rows = [
            {
                "id": new_uuid(),
                "session_id": self._conversation,
                "content": text,
                "sender": "user",
                "message_type": "message",
                "timestamp": datetime.fromtimestamp(1_700_000_000 + number, UTC),
            }
            for number in range(count)
        ]
        async with self._engine.begin() as connection:
            for start in range(0, count, 10_000):
                await connection.execute(insert(Message), rows[start : start + 10_000])

    async def newest(self, count: int, offset: int = 0) -> int:
        """Reads a page, newest first; gives how many messages it held."""
        async with self._sessions() as session:
            found = await session.execute(
                select(Message)
                .where(Message.session_id == self._conversation)
                .order_by(Message.timestamp.desc())
                .limit(count)
                .offset(offset)
            )
            return len([message.content for message in found.scalars()])

    async def close(self) -> None:
        """Closes the connections."""
        await self._engine.dispose()
