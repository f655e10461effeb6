"""Who people are elsewhere."""

from hashlib import sha256

from msgspec import Struct

from palaver.model import Actor


class Linked(Struct, frozen=True):
    """Who a person is elsewhere: a `subject` of an `issuer`, which let them in last at `seen_ms`."""

    actor: Actor
    issuer: str
    subject: str
    seen_ms: int

    @property
    def id(self) -> str:
        """Its public id, which says nothing of it to who does not know it."""
        told = f"identity\0{self.issuer}\0{self.subject}"
        return f"n_{sha256(told.encode()).hexdigest()[:32]}"
