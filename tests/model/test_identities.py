"""What is told of who somebody is elsewhere."""

import re

from palaver.model import Actor, ActorId, ActorKind
from palaver.model.identities import Linked

ADA = Actor(id=ActorId("u_1"), kind=ActorKind.PERSON, name="Ada")


def test_a_public_id_is_one_subject_s_of_one_issuer_and_tells_neither() -> None:
    pairs = [("https://acme", "ada"), ("https://acme", "bo"), ("https://other", "ada"), ("a", "b")]
    ids = {Linked(ADA, issuer, subject, 0).id for issuer, subject in pairs}
    assert len(ids) == len(pairs)
    assert all(re.fullmatch("n_[0-9a-f]{32}", one) for one in ids)
    assert Linked(ADA, *pairs[0], 5).id in ids
