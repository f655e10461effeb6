"""Changes what is true of the whole database: its epoch, and the secret that its processes share."""

from dataclasses import dataclass

from palaver.store import migrate
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewEpoch(Command[str]):
    """Gives the database a new epoch, unless it is not `known` any more; the one that it has then."""

    known: str

    def apply(self, tx: Transaction) -> str:
        return migrate.renew_epoch(tx.conn, f"e_{tx.clock.new_id()}", known=self.known)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepSecret(Command[str]):
    """Keeps what signs the tokens of visitors in all processes of a database; the result is what was kept first."""

    value: str

    def apply(self, tx: Transaction) -> str:
        kept = migrate.META.value(tx.conn, "visitors")
        if kept is None:
            migrate.INSERT_META.run(tx.conn, "visitors", self.value)
        return kept or self.value
