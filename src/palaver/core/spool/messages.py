"""Messages that are accepted while the database is away, and stored when it is back.

Theory of operation. A send that the store cannot take now is kept (see `spool`), then acknowledged as `accepted`; those
who read the room on this process see it at once. While a room has drafts, further sends to it queue behind them, so
that their order stays. What is stored is an event like any other, under the same id; what is refused (the author was
thrown out meanwhile) is told to its author as `rejected`. A send whose COMMIT had an unclear end may be stored already:
its cid decides, for ever. One whose sender was cut off while it was written is written again, so that it is answered.
A draft that is set aside is shown and told as `accepted`, and the room goes on.

Nobody can be asked who may write while the database is away: only someone who is reading the room live may, whose
right was checked when the reading began. After 24 hours a draft is rejected.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from palaver.core.ground import Ground
from palaver.core.live.items import Drafted, Settled
from palaver.core.spool.spool import Spool, Waiting
from palaver.errors import Code, PalaverError, Refused
from palaver.model import Actor, Message, MessageId
from palaver.store.write.messages import Added, AddMessage, AddMessages

REMEMBERED_MAX = 10_000
"""Of so many of the newest messages it is known under which id this process stored them."""
DRAFT_MS_MAX = 24 * 3_600_000


class MessageSpool(Spool[Added]):
    """The drafts of this process. `stored` happens after each that was stored."""

    folder = "drafts"
    full = "The message cannot be kept right now. It stays in your outbox; send it again later."
    batch_max = 256
    past_damage = True

    def __init__(
        self, ground: Ground, stored: Callable[[AddMessage, Added], Awaitable[None]]
    ) -> None:
        super().__init__(ground)
        self._hub = ground.hub
        self._stored = stored
        self._cids: dict[tuple[str, str], Waiting] = {}
        # a plain one, of which the oldest is taken away again and again, walks past the gaps that those before it left
        self._stored_here: OrderedDict[tuple[str, str], tuple[int, MessageId, int]] = OrderedDict()
        self._abandoned: dict[MessageId, AddMessage] = {}

    def waits(self, command: AddMessage) -> bool:
        """Whether a message must queue behind drafts of its room, or is one that waits."""
        return command.room in self._queues or _cid(command) in self._cids

    async def accept(self, actor: Actor, command: AddMessage) -> MessageId | None:
        """Keeps a message until it can be stored; its id. The same cid again is the same message.

        None when it waits no more, because the database came back while it was synced: its sender was told what became
        of it, and must not hear `accepted` after that. The store knows.

        Raises `Unavailable` when it can be kept here neither: the client's outbox still has it.
        """
        assert command.cid is not None, "only what can be sent again is accepted"
        known = self._cids.get(_cid(command))
        if known is not None:
            said = _message(known)
            if (said.room, said.text) != (command.room, command.text):
                raise _reused()
            await self._sync()
            return said.id if said.id in self._known else None
        draft = self._accepted(command, accepted_ms=self._clock.now_ms(), name=actor.name)
        self._keep(draft)
        self._cids[_cid(command)] = draft
        await self._sync()
        if draft.id not in self._known:
            return None
        self.tally["accepted"] += 1
        self._show(draft)
        return command.id

    def remember(self, command: AddMessage, stored: Message) -> None:
        """Notes that a message was stored, so that the same `cid` gets the same answer while the database is away."""
        if command.cid is not None:
            said = hash((command.room, command.text))
            self._stored_here[_cid(command)] = (said, stored.id, stored.seq)
            if len(self._stored_here) > REMEMBERED_MAX:
                self._stored_here.popitem(last=False)

    def stored_here(self, command: AddMessage) -> tuple[MessageId, int] | None:
        """The id and seq under which this process stored a message. Refused: `cid_reused`."""
        found = self._stored_here.get(_cid(command))
        if found is None:
            return None
        if found[0] != hash((command.room, command.text)):
            raise _reused()
        return found[1:]

    def abandoned(self, command: AddMessage) -> None:
        """Takes over a message that is being written, whose sender was cut off: sees to what follows it."""
        self._abandoned[command.id] = command
        self._wake.set()

    async def _write(self, batch: Sequence[Waiting]) -> Sequence[Added | Refused]:
        fresh = [_message(one) for one in batch if self._age_ms(one) <= DRAFT_MS_MAX]
        writing = AddMessages(room=_message(batch[0]).room, commands=tuple(fresh))
        results = await self._store.write(writing) if fresh else ()
        found = dict(zip([one.id for one in fresh], results, strict=True))
        old = Refused(Code.DRAFT_TOO_OLD, "The message waited for more than 24 hours.")
        return [found.get(_message(one).id, old) for one in batch]

    def _age_ms(self, draft: Waiting) -> float:
        """How long it has waited. The wall clock counts only for what a dead process left, because it may jump."""
        return draft.waited_ms + (self._clock.monotonic() - draft.since) * 1_000

    def _has_work(self) -> bool:
        return bool(self._abandoned) or super()._has_work()

    async def _drain(self) -> None:
        for command in list(self._abandoned.values()):
            with suppress(Refused):  # nobody is there to be told
                await self._stored(command, await self._store.write(command))
            del self._abandoned[command.id]
        await super()._drain()

    def _show(self, one: Waiting) -> None:
        """Shows a draft to all who read the room here, now or later, until it is settled."""
        said, name, at_ms = _message(one), one.noted.get("name", ""), one.noted["accepted_ms"]
        assert said.cid is not None, "only what can be sent again is accepted"
        self._cids[_cid(said)] = one
        self._hub.draft(Drafted(said.room, said.id, said.author, name, said.text, at_ms, said.cid))

    async def _settled(self, one: Waiting, result: Added | Refused) -> None:
        command = _message(one)
        room, cid = command.room, command.cid or ""
        del self._cids[_cid(command)]
        if isinstance(result, Refused):
            settled = Settled(room, cid, command.id, None, result.code, result.detail)
        else:
            stored = result.message
            self.remember(command, stored)
            self._hub.reached(room, stored.seq)  # its commit may have had an unclear end
            settled = Settled(room, cid, stored.id, stored.seq, None, None)
        self._hub.undraft(room, command.id)
        self._hub.to_actor(command.author, settled, but=None)
        if isinstance(result, Added):
            with suppress(PalaverError):
                await self._stored(command, result)


def _message(one: Waiting) -> AddMessage:
    [command] = one.commands
    assert isinstance(command, AddMessage), "drafts are messages"
    return command


def _cid(command: AddMessage) -> tuple[str, str]:
    return command.author, command.cid or ""


def _reused() -> Refused:
    return Refused(Code.CID_REUSED, "This cid belongs to another message of yours.")
