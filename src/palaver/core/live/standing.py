"""By which session or key something lives, and that it ends with it.

A connection, a feed, a stream and an answer begin here and are left when they are over. What ends them is an event of
the audit room: one of this process as soon as it is committed, another's as soon as its notice is heard, or read a
second later (`core.audit`). What ended is remembered for those whose check came before the end and who begin after it.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from palaver.core.access import remember
from palaver.model import CredentialId, Event, EventType
from palaver.model.access import ended_by

End = Callable[[], None]


class Standings:
    """What lives in this process, by its session or key. An `End` may neither block nor raise."""

    def __init__(self) -> None:
        self._living: dict[CredentialId, dict[End, None]] = {}
        self._ended: dict[CredentialId, None] = {}

    def begin(self, by: CredentialId | None, end: End) -> None:
        """Something lives by this session or key, if by any; it is ended now where that has ended."""
        if by is not None and by in self._ended:
            end()
        elif by is not None:
            self._living.setdefault(by, {})[end] = None

    def leave(self, by: CredentialId | None, end: End) -> None:
        """It is over by itself. What has ended already may leave, too."""
        living = {} if by is None else self._living.get(by, {})
        living.pop(end, None)
        if by is not None and not living:
            self._living.pop(by, None)

    @contextmanager
    def lives(self, by: CredentialId | None, end: End) -> Generator[None]:
        """What the block does lives by this session or key."""
        self.begin(by, end)
        try:
            yield
        finally:
            self.leave(by, end)

    def end(self, by: CredentialId) -> None:
        """A session or key has ended: so does what lives by it, before this returns."""
        remember(self._ended, by, None)
        for end in self._living.pop(by, {}):
            end()

    @property
    def living(self) -> list[CredentialId]:
        """The sessions and keys by which something lives."""
        return list(self._living)

    def has_ended(self, by: CredentialId) -> bool:
        """Whether it is known to have ended. For who was told otherwise before; the store decides."""
        return by in self._ended

    def committed(self, happened: Sequence[Event]) -> None:
        """Events after their commit, of this process or another."""
        for event in happened:
            for ended in ended_by(event):
                self.end(ended)
            if event.type is EventType.ACCOUNT_STATUS and not ended_by(event):  # it is enabled
                for key in event.data.get("keys", ()):
                    self._ended.pop(key, None)
