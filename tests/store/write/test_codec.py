"""An accepted message comes back from the journal as it was."""

from hypothesis import given, strategies as st

from palaver.model import (
    ActorId,
    Entry,
    ExchangeId,
    ExchangeKind,
    ExchangeState,
    Kind,
    MessageId,
    Role,
    RoomId,
    Status,
    TitleSource,
    TurnId,
    Visibility,
)
from palaver.store.write.codec import decoded, decoded_exchange, encoded, encoded_exchange
from palaver.store.write.exchanges import FinishExchange, OpenExchange
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import CreateRoom

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
    assert decoded(encoded(command, 123, "Ada", "e_1")) == (command, 123, "Ada", "e_1")


@given(text=st.text(), digest=st.binary(min_size=16, max_size=16))
def test_an_exchange_is_read_as_it_was_written(text: str, digest: bytes) -> None:
    entry = Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=text, meta={"call_id": "c"})
    room = CreateRoom(
        id=RoomId(f"r_{ZEROS}"),
        title=text,
        title_source=TitleSource.FIRST_MESSAGE,
        visibility=Visibility.OPEN,
        owner=ActorId(f"u_{ZEROS}"),
        agents=(ActorId(f"a_{ZEROS}"),),
        settings={"door": "openai"},
    )
    opening = OpenExchange(
        id=ExchangeId(f"x_{ZEROS}"),
        kind=ExchangeKind.CHAT,
        actor=ActorId(f"u_{ZEROS}"),
        agent=ActorId(f"a_{ZEROS}"),
        turn=TurnId(f"t_{ZEROS}"),
        message=MessageId(f"m_{ZEROS}"),
        entries=(entry,),
        ids=(MessageId(f"m_{ZEROS}"),),
        model="m",
        request={"temperature": 0.5},
        metadata={"a": "b"},
        kept=True,
        body_digest=digest,
        new_room=room,
        client=digest,
        whole=True,
    )
    finish = FinishExchange(
        id=opening.id,
        fence=1,
        state=ExchangeState.INCOMPLETE,
        status=Status.DONE,
        entries=(entry,),
        ids=(),
        name=None,
        response={"ms": 1},
    )
    assert decoded_exchange(encoded_exchange(opening, "e_1")) == (opening, "e_1")
    assert decoded_exchange(encoded_exchange(finish, None)) == (finish, None)
