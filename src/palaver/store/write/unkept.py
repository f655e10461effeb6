"""Counts what an answer used of which nothing else is stored: of a try, and of a request that says so."""

from palaver.model import ActorId, Entry
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction
from palaver.store.write.usage import note


class CountUnkept(Command[None], frozen=True, kw_only=True):
    """Adds what the answer of an `agent` used which nobody keeps, and for which `by` pays. None: of nobody."""

    by: ActorId | None
    agent: ActorId | None
    entry: Entry

    def apply(self, tx: Transaction) -> None:
        of = [None if one is None else tx.actor(one) for one in (self.by, self.agent)]
        by, agent = [0 if one is None else one.key for one in of]
        note(tx, by, agent, (self.entry,))
