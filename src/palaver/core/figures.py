"""Counts what one process has done since it began, and what waits in it now; `wire/pages/metrics` names each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from palaver.core.answers.engine import Engine
from palaver.core.identity import Identity
from palaver.core.live.hub import Hub
from palaver.core.spool.spool import Spool
from palaver.store.journal import Journal
from palaver.store.store import Store


@dataclass(frozen=True, slots=True)
class Figures:
    """The parts that count."""

    store: Store
    journal: Journal
    spools: Sequence[Spool[Any]]
    turns: Engine
    hub: Hub
    identity: Identity

    def all(self) -> Mapping[str, int]:
        """Each figure by its name."""
        written, tallies = self.store.counters, [spool.tally for spool in self.spools]
        return {
            "commits": written.commits,
            "events": written.rows,
            "writes_waiting": self.store.queued,
            "journal_records": self.journal.records,
            "journal_bytes": self.journal.bytes,
            "drafts_waiting": sum(spool.waiting for spool in self.spools),
            "drafts_accepted": sum(tally.accepted for tally in tallies),
            "drafts_drained": sum(tally.drained for tally in tallies),
            "drafts_rejected": sum(tally.rejected for tally in tallies),
            "drafts_lost": sum(tally.lost for tally in tallies),
            "turns_running": self.turns.running,
            "titles_missed": self.turns.titles_missed,
            "readers": self.hub.readers,
            "guests_swept": self.identity.swept,
        }

    def by_code(self) -> Mapping[str, Mapping[tuple[str, ...], int]]:
        """Those that are counted by code; before the code of an answer stands its end."""
        written, failed = self.store.counters, self.turns.provider_errors
        one_code = {"provider_errors": failed, "writes_refused": written.refused}
        one_code["writes_failed"] = written.failed
        counted = {name: {(code,): n for code, n in by.items()} for name, by in one_code.items()}
        return {"answers": written.answers, **counted}
