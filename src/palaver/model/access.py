"""What events mean for who may read: whose access one takes, and which sessions and keys one ends."""

from collections.abc import Sequence

from palaver.model import AccountStatus, ActorId, CredentialId, Event, EventType


def taken_from(event: Event) -> ActorId | None:
    """Whose access an event takes; None for anybody's."""
    member = event.type in {EventType.MEMBER_LEFT, EventType.MEMBER_REMOVED, EventType.MEMBER_ROLE}
    if event.type is EventType.ACCOUNT_STATUS:
        return ActorId(event.data["of"])
    if event.type in {EventType.PROFILE_SAVED, EventType.PROFILE_DELETED}:
        return event.actor
    return ActorId(event.data["actor"]) if member else None


def ended_by(event: Event) -> Sequence[CredentialId]:
    """The sessions and keys that an event of the audit room ends, for ever or as long as an account is not active."""
    match event.type:
        case EventType.SESSION_ENDED:
            return (CredentialId(event.data["session"]),)
        case EventType.KEY_REVOKED:
            return (CredentialId(event.data["key"]),)
        case EventType.ACCOUNT_STATUS if event.data["status"] != AccountStatus.ACTIVE:
            return tuple(map(CredentialId, event.data.get("keys", ())))
        case _:
            return ()
