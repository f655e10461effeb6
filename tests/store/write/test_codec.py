"""What was accepted comes back from the journal as it was, also from the journal of an earlier version."""

from hypothesis import given, strategies as st

from palaver.model import (
    ActorId,
    Entry,
    ExchangeId,
    Kind,
    MessageId,
    Role,
    RoomId,
    Status,
    TitleSource,
    TurnId,
    Visibility,
)
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.store.write.codec import decoded, encoded
from palaver.store.write.exchanges import ExchangeEnd, OpenExchange
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import CreateRoom
from palaver.store.write.turns import FinishTurn

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
    beside = {"accepted_ms": 123, "name": "Ada", "epoch": "e_1"}
    assert decoded(encoded(command, **beside)) == (command, beside)


@given(text=st.text(), digest=st.binary(min_size=16, max_size=16))
def test_an_exchange_is_read_as_it_was_written(text: str, digest: bytes) -> None:
    opening, finish = exchange(text, digest)
    assert decoded(encoded(opening, epoch="e_1")) == (opening, {"epoch": "e_1"})
    assert decoded(encoded(finish, epoch=None)) == (finish, {"epoch": None})


def exchange(text: str, digest: bytes) -> tuple[OpenExchange, FinishTurn]:
    entry = Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text=text, meta={"call_id": "c"})
    room = CreateRoom(
        id=RoomId(f"r_{ZEROS}"),
        title=text,
        title_source=TitleSource.FIRST_MESSAGE,
        visibility=Visibility.OPEN,
        owner=ActorId(f"u_{ZEROS}"),
        agents=(ActorId(f"a_{ZEROS}"),),
        door="openai",
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
    finish = FinishTurn(
        turn=opening.turn,
        fence=1,
        status=Status.DONE,
        entries=(entry,),
        exchange=ExchangeEnd(opening.id, ExchangeState.INCOMPLETE, None, {"ms": 1}),
    )
    return opening, finish


MESSAGE_OF_0_9 = (
    b'{"id": "m_00000000000000000000000000000000", "room": "r_00000000000000000000000000000000",'
    b' "author": "u_00000000000000000000000000000000", "text": "na\\u00efve \\ud83d\\ude00\\n",'
    b' "cid": "c", "reply_to": null, "role": "user", "status": "done", "meta": {"sender": "x"},'
    b' "answers": true, "accepted_ms": 123, "name": "Ada", "epoch": "e_1"}'
)
OPENING_OF_0_9 = (
    b'{"what":"OpenExchange","epoch":"e_1","id":"x_00000000000000000000000000000000","kind":"chat",'
    b'"actor":"u_00000000000000000000000000000000","agent":"a_00000000000000000000000000000000",'
    b'"turn":"t_00000000000000000000000000000000","message":"m_00000000000000000000000000000000",'
    b'"entries":[{"role":"tool","kind":"tool_result","text":"42 \xe2\x82\xac","meta":{"call_id":"c"}}],'
    b'"ids":["m_00000000000000000000000000000000"],"model":"m","request":{"temperature":0.5},'
    b'"metadata":{"a":"b"},"kept":true,"body_digest":"000102030405060708090a0b0c0d0e0f",'
    b'"new_room":{"id":"r_00000000000000000000000000000000","title":"42 \xe2\x82\xac",'
    b'"title_source":"first_message","visibility":"open","owner":"u_00000000000000000000000000000000",'
    b'"agents":["a_00000000000000000000000000000000"],"settings":{"door":"openai"}},"room":null,'
    b'"previous":null,"client":"000102030405060708090a0b0c0d0e0f","whole":true,"repeated":false}'
)
FINISH_OF_0_9 = (
    b'{"what":"FinishExchange","epoch":null,"id":"x_00000000000000000000000000000000","fence":1,'
    b'"state":"incomplete","status":"done","entries":[{"role":"tool","kind":"tool_result",'
    b'"text":"42 \xe2\x82\xac","meta":{"call_id":"c"}}],"ids":[],"name":null,"response":{"ms":1}}'
)


def test_what_an_earlier_version_has_written_is_read() -> None:
    """Its bytes, as recorded before the codec was made from the commands' types."""
    message = AddMessage(
        id=MessageId(f"m_{ZEROS}"),
        room=RoomId(f"r_{ZEROS}"),
        author=ActorId(f"u_{ZEROS}"),
        text="naïve 😀\n",
        cid="c",
        meta={"sender": "x"},
        answers=True,
    )
    opening, finish = exchange("42 €", bytes(range(16)))
    beside = {"accepted_ms": 123, "name": "Ada", "epoch": "e_1"}
    assert decoded(MESSAGE_OF_0_9) == (message, beside)
    assert decoded(OPENING_OF_0_9) == (opening, {"epoch": "e_1"})
    assert decoded(FINISH_OF_0_9) == (finish, {"epoch": None})


def test_a_field_that_an_old_record_lacks_has_its_default_and_what_is_unknown_is_left_out() -> None:
    oldest = OPENING_OF_0_9.replace(
        b'"client":"000102030405060708090a0b0c0d0e0f",', b'"prefixes":[],'
    )
    command, beside = decoded(oldest)
    assert isinstance(command, OpenExchange)
    assert command.client == b""
    assert beside == {"epoch": "e_1", "prefixes": []}
