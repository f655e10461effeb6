"""Takes over the answers that dead processes left open, and begins those that nobody began.

What the journal of a dead process holds of an answer, what it had spread, or the copies it left are stored as
`interrupted`; where nothing had come yet of a room's turn, it runs again. So does a client's exchange that lasts, with
the words of the door that took it, which come when that is open; one that no door asks again has been interrupted.
What the journal holds of a turn that the history has lost is set aside until it has it again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set as AbstractSet
from typing import Any

import structlog
from msgspec.structs import replace

from palaver.core.answers.engine import Engine, Keeper
from palaver.core.answers.outcome import interrupted
from palaver.core.answers.pieces import known_in, pieces_in, pieces_left
from palaver.core.answers.source import patiently
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import Ground
from palaver.core.part import Part
from palaver.model import NO_DATA, Message, Turn, TurnId
from palaver.model.exchanges import Exchange
from palaver.providers.base import Piece, ReasoningPiece, TextPiece
from palaver.providers.call import Call
from palaver.store.journal import Orphan, Records, alone, dead_owners, forget, merged, orphans
from palaver.store.read import devices, exchanges, turns
from palaver.store.write.turns import ClaimTurns

AskAgain = Callable[[Exchange, Sequence[Message]], Awaitable[Call]]
"""Asks a model what a stored exchange asked, of which these messages were said."""
CLAIMS_MAX = 4
"""So many processes take over a turn; what was asked that often and killed its server is asked no more."""

log = structlog.stdlib.get_logger()


class Recovery(Part):
    """Looks after the turns that no living process writes."""

    def __init__(self, ground: Ground, engine: Engine, spool: Keeper) -> None:
        self._ground, self._store = ground, ground.store
        self._directory = ground.journal.directory
        self._engine, self._spool = engine, spool
        self._unbegun: set[TurnId] = set()
        self._ask: AskAgain | None = None
        self._unasked: list[tuple[Turn, Exchange]] = []

    def asks(self, ask: AskAgain) -> None:
        """Gives the words in which exchanges that last are asked again, which some wait for."""
        self._ask, unasked, self._unasked = ask, self._unasked, []
        for turn, exchange in unasked:
            self._engine.store_later(self._again(turn, exchange, ask))

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over the turns that dead processes left open; `aside`: also those that were set aside."""
        taken: list[asyncio.Task[None]] = []
        async with alone(self._directory):  # whoever claims a turn has read its journal
            dead = tuple(dead_owners(self._directory))
            left = list(orphans(self._directory, aside=aside))
            records = merged(left)
            try:
                await self._take_over(dead, records, taken)
                waiting = await self._ground.history.unknown(set(records))
            except BaseException:
                for orphan in left:
                    orphan.release()
                raise
        if left:
            self._engine.store_later(_forget(left, taken, waiting))

    async def see_to_unbegun(self) -> None:
        """Starts own turns left unstarted by a commit of unknown outcome.

        To be called every few seconds: one that is met twice is nobody's. An external one is told as interrupted.
        """
        mine = await self._store.read(turns.open_of, self._store.owner)
        unbegun = {
            turn.id: turn
            for turn in mine
            if turn.waits_for is None and not self._engine.writes(turn.id)
        }
        for id_ in unbegun.keys() & self._unbegun:
            turn = unbegun.pop(id_)
            if turn.external:
                self._engine.store_later(self._left(turn, (), waits=False))
            else:
                self._engine.begin((turn,))
        self._unbegun = set(unbegun)

    async def _take_over(
        self, dead: tuple[str, ...], records: Records, taken: list[asyncio.Task[None]]
    ) -> None:
        while claimed := await self._store.write(ClaimTurns(dead=dead)):
            for turn in claimed:
                journaled = records.get(turn.id[2:], ())
                pieces = await self._seen(turn, pieces_in(journaled))
                if turn.external or _chars(pieces):
                    left = self._left(turn, pieces, known_in(journaled))
                    taken.append(self._engine.store_later(left))
                else:
                    self._engine.begin((turn,))

    async def _seen(self, turn: Turn, journaled: list[Piece]) -> list[Piece]:
        """The fullest record of a dead process's answer: its journal, what it had spread, or the copies it left."""
        known = [journaled]
        mirror = self._ground.hub.streams(turn.room).get(turn.message)
        if mirror is not None:
            known.append(pieces_left(mirror.text(), mirror.reasoning()))
        if self._store.shared:
            known.append(pieces_left(*await self._store.read(turns.copied, turn.id)))
        return max(known, key=_chars)

    async def _left(
        self,
        turn: Turn,
        pieces: Sequence[Piece],
        known: Mapping[str, Any] = NO_DATA,
        *,
        waits: bool = True,
    ) -> None:
        """Stores what a dead process had shown of an answer, or had passed on of it to a client, or asks again.

        `known`: of who gave it. `waits`: the door that would ask may still come.
        """
        exchange = None
        if turn.external:
            exchange = await patiently(
                self._ground.clock,
                lambda: self._store.read(exchanges.of_turn, turn.id),
                storing=turn.id,
            )
        if exchange is not None and self._spool.holds(exchange.id):
            return  # its end is about to be stored
        end = interrupted(exchange or turn, turn.fence, pieces, self._store.redaction, known)
        if exchange is not None and exchange.lasting and (self._ask or waits):
            came = any(
                one.text or one.meta.keys() & {"reasoning", "refusal"} for one in end.entries
            )
            again = not came or self._ground.settings.background_after_crash == "rerun"
            if again and turn.fence <= CLAIMS_MAX and await self._is_wanted(turn, exchange):
                if came:
                    await self._engine.until_stored(replace(end, apart=True))
                if self._ask is None:
                    self._unasked.append((turn, exchange))
                else:
                    await self._again(turn, exchange, self._ask)
                return
        await self._engine.until_stored(end)
        log.info("turn.recovered", turn=turn.id, room=turn.room, pieces=len(pieces))

    async def _is_wanted(self, turn: Turn, exchange: Exchange) -> bool:
        """Whether who asked may still ask, and by that key."""

        async def ask() -> bool:
            if await self._store.read(turns.unwanted, [turn.id]):
                return False
            by, now_ms = exchange.by, self._ground.clock.now_ms()
            return by is None or by in await self._store.read(devices.standing, [(0, by)], now_ms)

        return await patiently(self._ground.clock, ask, storing=turn.id)

    async def _again(self, turn: Turn, exchange: Exchange, ask: AskAgain) -> None:
        said = await patiently(
            self._ground.clock,
            lambda: self._store.read(
                exchanges.spoken, exchange.room, exchange.view, exchange.actor
            ),
            storing=turn.id,
        )
        if not self._engine.writes(turn.id):
            log.info("turn.asked_again", turn=turn.id, room=turn.room)
            live = LiveAnswer(turn, exchange, by=exchange.by)
            self._engine.run(live, lambda: ask(exchange, said))


def _chars(pieces: Iterable[Piece]) -> int:
    """How much of an answer readers have seen."""
    words = (one for one in pieces if isinstance(one, TextPiece | ReasoningPiece))
    return sum(len(one.text) for one in words if one.choice == 0)


async def _forget(
    left: Sequence[Orphan], taken: Iterable[asyncio.Task[None]], waiting: AbstractSet[str]
) -> None:
    """Deletes segments once all that they held is stored, but for what waits."""
    for task in taken:
        await task
    forget(left, waiting)
