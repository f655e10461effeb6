"""An accepted message comes back from the journal as it was."""

from hypothesis import given, strategies as st

from palaver.model import ActorId, MessageId, RoomId
from palaver.store.commands import AddMessage
from palaver.store.drafts import decoded, encoded

ZEROS = "0" * 32


@given(text=st.text(), cid=st.text(min_size=1, max_size=64), reply=st.booleans())
def test_a_draft_is_read_as_it_was_written(text: str, cid: str, *, reply: bool) -> None:
    command = AddMessage(
        id=MessageId(f"m_{ZEROS}"),
        room=RoomId(f"r_{ZEROS}"),
        author=ActorId(f"u_{ZEROS}"),
        text=text,
        cid=cid,
        reply_to=MessageId(f"m_{ZEROS}") if reply else None,
        meta={"sender": "x"},
        answers=True,
    )
    assert decoded(encoded(command, 123, "Ada")) == (command, 123, "Ada")
