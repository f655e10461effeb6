"""Writes the feed: one order of what happened in all rooms, which loses nothing whatever commits at the same time.

SQLite has one writer, so a transaction adds its row to the feed at its end. On PostgreSQL a row with a higher number
may be committed first, and whoever reads "behind the last number" would miss the other. So a transaction leaves its
spans in `unfed`, with what else it appends, and `write.consumers` moves what is committed into the feed.
"""

from palaver.store.engine.statement import inserting
from palaver.store.schema import feed
from palaver.store.write.transaction import Transaction

_ADD = inserting(feed, "at_ms", "spans")


def settle(tx: Transaction) -> None:
    """Adds to the feed what the transaction has written, where nobody else writes."""
    if tx.fed:
        spans = [[key, *span] for key, span in tx.fed.items()]
        _ADD.run(tx.conn, tx.now_ms, {"rooms": spans})
        tx.fed.clear()
