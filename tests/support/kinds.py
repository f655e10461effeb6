"""What a room may be, as far as rights go."""

from dataclasses import dataclass

from palaver import policy
from palaver.model import MemberRole, OpenTo, Visibility


@dataclass(frozen=True, slots=True)
class Kind:
    """What a room is. `door`: the one through which a program made it; `open_to`: whom its owner lets in, as what."""

    visibility: Visibility
    door: str | None = None
    open_to: OpenTo | None = None
    open_role: MemberRole | None = None

    @property
    def everyones(self) -> bool:
        return policy.is_everyones(self, self.door)

    @property
    def made(self) -> Visibility:
        """As what it is made: one that its owner opens is private first."""
        return self.visibility if self.open_to is None else Visibility.PRIVATE
