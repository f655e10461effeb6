"""A search finds all that its caller may read and the query means, however far the index is, or says what it lacks."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as effort, strategies as st
from sqlalchemy.util import await_only
from tests.core.search.finding import Finding, finding
from tests.core.search.test_query import bad_texts
from tests.support.texts import texts

from palaver.core.search.match import match
from palaver.core.search.query import parse
from palaver.errors import Code, Refused
from palaver.model import MemberRole, Visibility
from palaver.store.engine.executors import InlineLanes
from palaver.store.write.clearing import ClearRoom, UnclearRoom
from palaver.store.write.edits import EditMessage
from palaver.store.write.marks import SetPin, SetStar
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.reactions import SetReaction
from palaver.store.write.rooms import AddMember, RemoveMember, SetRoomDeleted


@pytest.fixture
async def here(database_url: str) -> Any:
    async with finding(database_url) as found:
        await found.indexed()
        yield found


async def test_what_was_said_is_found_before_it_is_indexed_and_after(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada, title="Weekend")
    said = [
        "We take the train to Zürich",
        "我们坐火车去",
        "call getUserName(a.b/c) then",
        "ไปเที่ยวทะเล",
    ]
    for text in said:
        await here.say(room, ada, text)
    queries = {
        "train zurich": 0, '"the train"': 0, "tra*": 0, "火车": 1, "火": 1, "user name": 2,
        "getUserName": 2, "b/c": 2, "ทะเล": 3,
    }  # fmt: skip
    for _ in range(3):
        for query, place in queries.items():
            found = await here.find(ada, query)
            assert [hit.message.text for hit in found.hits] == [said[place]], query
            assert found.hits[0].title == "Weekend"
        for query in ("trains", "车火", "-train zurich", '"train the"', "from:bo train"):
            assert (await here.find(ada, query)).hits == (), query
        await here.indexed()
    assert (await here.find(ada, "train")).complete
    last = await here.say(room, ada, "the train is late")
    assert await here.texts(ada, "train") == [last.text, said[0]]


async def test_marks_are_asked_for_as_they_are_now_and_stars_are_the_askers(here: Finding) -> None:
    ada, bo = await here.world.person(), await here.world.person("Bo")
    room, other = await here.world.room(ada), await here.world.room(ada)
    adding = AddMember(room=room.id, by=ada.id, actor=bo.id, role=MemberRole.MEMBER)
    await here.world.store.write(adding)
    one, two = [await here.say(room, ada, text) for text in ("the first train", "the second")]
    three = await here.say(other, ada, "a third train")
    for command in (
        SetPin(message=one.id, by=ada.id, there=True),
        SetPin(message=three.id, by=ada.id, there=True),
        SetStar(message=two.id, by=ada.id, there=True),
        SetStar(message=one.id, by=bo.id, there=True),
        SetReaction(message=one.id, by=bo.id, emoji="👍", there=True),
        SetReaction(message=one.id, by=ada.id, emoji="👍", there=True),
    ):
        await here.world.store.write(command)
    for _ in range(2):
        assert await here.texts(ada, "is:pinned train") == [three.text, one.text]
        assert await here.texts(bo, "is:pinned") == [one.text]
        assert await here.texts(ada, "is:starred") == [two.text]
        assert await here.texts(bo, "is:starred train") == [one.text]
        assert await here.texts(ada, "has:reaction") == [one.text]
        assert await here.texts(ada, "is:starred has:reaction") == []
        assert await here.texts(bo, "is:pinned has:reaction is:starred") == [one.text]
        await here.indexed()
    await here.world.store.write(SetPin(message=one.id, by=ada.id, there=False))
    assert await here.texts(bo, "is:pinned") == []


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[str], list[str], int]:
    """Texts, queries of their pieces, and how many steps the indexer takes."""
    said = draw(st.lists(texts(), min_size=1, max_size=12))
    queries: list[str] = []
    for text in draw(st.lists(st.sampled_from(said), min_size=1, max_size=6)):
        start = draw(st.integers(0, len(text)))
        piece = text[start : start + draw(st.integers(1, 6))]
        queries.append(
            draw(st.sampled_from(["{}", '"{}"', "{}*", "-{} {}", "{} {}"])).replace("{}", piece)
        )
    return said, queries, draw(st.integers(0, 4))


def well_formed(text: str) -> str:
    return text.encode("utf-8", "ignore").decode().replace("\0", "")


@effort(max_examples=60, deadline=None)
@given(corpora())
def test_a_search_finds_exactly_what_the_matcher_finds(
    corpus: tuple[list[str], list[str], int],
) -> None:
    asyncio.run(expect_found("sqlite://", *corpus, lanes=InlineLanes()))


@pytest.mark.postgres
@effort(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpus=corpora())
def test_on_postgresql_too(postgres_url: str, corpus: tuple[list[str], list[str], int]) -> None:
    asyncio.run(expect_found(postgres_url, *corpus))


async def expect_found(
    url: str, said: list[str], queries: list[str], steps: int, **more: Any
) -> None:
    """All texts that match are found, the newest first, over pages of two, while the index goes on."""
    async with finding(url, **more) as here:
        await here.indexed()
        ada = await here.world.person()
        room = await here.world.room(ada)
        there = [text for text in map(well_formed, said) if text.strip()]
        for number, text in enumerate(there):
            await here.say(room, ada, text)
            if number == len(there) // 2:
                await here.indexed(steps)
        now_ms = here.world.clock.now_ms()
        for text in queries:
            query = parse(text, now_ms=now_ms)
            empty = query == parse("", now_ms=now_ms)
            wanted = [one for one in reversed(there) if not empty and match(query, one) is not None]
            found: list[str] = []
            cursor = None
            while True:
                page = await here.find(ada, text, room=room.id, limit=2, cursor=cursor)
                found += [hit.message.text for hit in page.hits]
                if (cursor := page.cursor) is None:
                    break
                await here.indexed(1)
            assert found == wanted, text


async def test_who_may_read_finds_and_nobody_else(here: Finding) -> None:
    write = here.world.store.write
    ada, bo = await here.world.person("Ada"), await here.world.person("Bo")
    own, shared = await here.world.room(ada), await here.world.room(ada, title="Shared")
    lobby = await here.world.room(None, visibility=Visibility.OPEN)
    await write(AddMember(room=shared.id, actor=bo.id, by=ada.id, role=MemberRole.READER))
    for room in (own, shared, lobby):
        await here.say(room, ada, "secret word")
    for _ in range(2):
        assert len(await here.texts(ada, "secret")) == 3
        assert len(await here.texts(bo, "secret")) == 2
        assert await here.texts(bo, "secret in:shared") == ["secret word"]
        assert await here.texts(bo, "secret", room=shared.id) == ["secret word"]
        with pytest.raises(Refused) as refused:
            await here.find(bo, "secret", room=own.id)
        assert refused.value.code is Code.ROOM_NOT_FOUND
        assert await here.texts(bo, f"secret in:{own.id}") == []
        await here.indexed()
    await write(RemoveMember(room=shared.id, actor=bo.id, by=ada.id))
    assert len(await here.texts(bo, "secret")) == 1, "at once"
    await write(SetRoomDeleted(room=own.id, by=ada.id, deleted=True))
    assert len(await here.texts(ada, "secret")) == 2
    await write(SetRoomDeleted(room=own.id, by=ada.id, deleted=False))
    assert len(await here.texts(ada, "secret")) == 3


async def test_what_is_deleted_is_not_found_until_it_is_restored(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    said = await here.say(room, ada, "regret this")
    await here.indexed()
    for deleted in (True, False):
        await here.world.store.write(SetMessageDeleted(message=said.id, by=ada.id, deleted=deleted))
        assert await here.texts(ada, "regret") == [] if deleted else ["regret this"]
        await here.indexed()
        assert await here.texts(ada, "regret") == ([] if deleted else ["regret this"])
    cleared = await here.world.store.write(ClearRoom(room=room.id, by=ada.id))
    assert await here.texts(ada, "regret") == []
    assert cleared is not None
    await here.world.store.write(UnclearRoom(room=room.id, by=ada.id, seq=cleared.seq))
    assert await here.texts(ada, "regret") == ["regret this"]


async def test_what_is_edited_is_found_by_its_new_words_at_once_and_no_more_by_the_old(
    here: Finding,
) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    said = await here.say(room, ada, "by train to Lisbon")
    await here.say(room, ada, "something else")
    for indexed in (False, True):
        text = f"by {'boat' if indexed else 'plane'} to Lisbon"
        if indexed:
            await here.indexed()
        version = (await here.world.said(room))[0].edited_ms and 4
        edit = EditMessage(message=said.id, by=ada.id, room=room.id, text=text, version=version)
        await here.world.store.write(edit)
        for _ in range(2):
            assert await here.texts(ada, text.split()[1]) == [text]
            assert await here.texts(ada, "train") == []
            assert await here.texts(ada, "lisbon is:edited") == [text], "once"
            assert await here.texts(ada, "lisbon", room=room.id, limit=1) == [text]
            await here.indexed()
        pages = [await here.find(ada, "lisbon", limit=1)]
        while pages[-1].cursor is not None:
            pages.append(await here.find(ada, "lisbon", limit=1, cursor=pages[-1].cursor))
        assert [hit.message.text for page in pages for hit in page.hits] == [text]
    assert await here.texts(ada, "plane") == []


async def test_operators_narrow_what_is_found(here: Finding) -> None:
    ada, bo = await here.world.person("Ada"), await here.world.person("Bo Berg")
    room = await here.world.room(ada, title="Plans")
    await here.world.store.write(
        AddMember(room=room.id, actor=bo.id, by=ada.id, role=MemberRole.MEMBER)
    )
    await here.say(room, ada, "see https://example.org/plan")
    await here.say(room, bo, "a plan in `code`")
    await here.say(
        room, bo, "plan B", meta={"parts": [{"type": "input_file", "filename": "a.pdf"}]}
    )
    for _ in range(2):
        assert len(await here.texts(ada, "plan")) == 3
        assert len(await here.texts(ada, "plan from:me")) == 1
        assert len(await here.texts(ada, "plan from:bo")) == 2
        assert await here.texts(ada, "from:bo has:code") == ["a plan in `code`"]
        assert await here.texts(ada, "has:link") == ["see https://example.org/plan"]
        assert await here.texts(ada, "has:file") == ["plan B"]
        assert len(await here.texts(ada, "plan on:today")) == 3
        assert await here.texts(ada, "plan before:today") == []
        assert len(await here.texts(ada, "plan after:yesterday")) == 3
        assert await here.texts(ada, "plan in:elsewhere") == []
        assert await here.texts(ada, "=> has:link") == []
        await here.indexed()


async def test_an_index_that_is_not_there_or_made_anew_is_told(database_url: str) -> None:
    async with finding(database_url) as here:
        ada = await here.world.person()
        room = await here.world.room(ada)
        await here.say(room, ada, "early bird")
        for steps in (1, 0):  # the first one begins it
            found = await here.find(ada, "bird")
            assert (found.complete, found.indexed_until) == (False, 0)
            await here.indexed(steps)
        await here.say(room, ada, "late bird")
        texts = [hit.message.text for hit in (await here.find(ada, "bird")).hits]
        assert texts == ["late bird"], "what is new is found all the same"
        await here.indexed()
        assert await here.texts(ada, "bird") == ["late bird", "early bird"]


async def test_the_best_hit_comes_first_by_relevance(here: Finding) -> None:
    ada = await here.world.person()
    plans, other = await here.world.room(ada, title="Night train"), await here.world.room(ada)
    await here.say(plans, ada, "the night train leaves")
    await here.say(other, ada, "a train at night")
    await here.say(other, ada, "trainNight parts only")
    for _ in range(2):
        found = await here.find(ada, "night train", relevance=True)
        assert found.hits[0].message.text == "the night train leaves"
        assert found.hits[-1].message.text == "trainNight parts only"
        assert found.cursor is None
        await here.indexed()


async def test_any_text_is_answered_and_no_cursor_of_others(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.say(room, ada, 'a "quoted" col:umn NEAR(x) => :-)')
    await here.indexed()
    codes: set[Code] = set()
    for text in bad_texts():
        try:
            await here.find(ada, text)
        except Refused as refused:
            codes.add(refused.code)
    assert codes == {Code.QUERY_TOO_LONG}
    assert len(await here.texts(ada, "=> :-)")) == 1
    assert len(await here.texts(ada, "NEAR(x)")) == 1
    for cursor in (
        "",
        "1",
        "1.2.3.4.5",
        "1.2.3.4.5.6",
        "1.2.3.4.5.6.x",
        "1.2.3.4.5.6.a.a",
        "-1.0.0.0.0.0.",
        "1.2.3.4.5.x.",
        "9" * 30 + ".0.0.0.0.0.",
    ):
        with pytest.raises(Refused) as refused:
            await here.find(ada, "x", cursor=cursor)
        assert refused.value.code is Code.CURSOR_INVALID


async def test_someone_of_few_rooms_finds_theirs_among_many_of_others(here: Finding) -> None:
    ada, bo = await here.world.person("Ada"), await here.world.person("Bo")
    mine, theirs = await here.world.room(bo), await here.world.room(ada)
    first = await here.say(mine, bo, "common word, mine")
    for number in range(60):
        await asyncio.gather(
            *[here.say(theirs, ada, f"common word {number} {n}") for n in range(40)]
        )
    await here.indexed()
    assert await here.texts(bo, "common") == [first.text]


async def test_a_cursor_is_of_one_index_and_of_one_history(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    for number in range(6):
        await here.say(room, ada, f"word {number}")
    await here.indexed()

    async def refused(cursor: str | None) -> None:
        with pytest.raises(Refused) as refusal:
            await here.find(ada, "word", limit=2, cursor=cursor)
        assert refusal.value.code is Code.CURSOR_EXPIRED

    first = await here.find(ada, "word", limit=2)
    assert (await here.find(ada, "word", limit=2, cursor=first.cursor)).complete
    await here.indexer.renew()
    await refused(first.cursor)
    await here.indexed()
    await refused(first.cursor)
    second = await here.find(ada, "word", limit=2)
    assert second.complete
    here.world.store.epoch = "e_another"  # as after a rollback that was noticed
    await refused(second.cursor)
    assert not (await here.find(ada, "word")).complete


async def test_an_index_made_anew_between_two_looks_is_not_told_as_whole(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    for number in range(9):
        await here.say(room, ada, f"word {number}")
    await here.indexed()
    propose = here.index.propose
    looks: list[int] = []

    async def proposed(wanted: Any, limit: int) -> Any:
        looks.append(limit)
        if len(looks) == 2:
            await here.indexer.renew()
            await here.indexed()
        return await propose(wanted, min(limit, 3))

    monkeypatch.setattr(here.index, "propose", proposed)
    found = await here.find(ada, "word")
    assert len(looks) == 2
    assert (found.complete, found.indexed_until) == (False, 0)
    assert len(await here.texts(ada, "word")) == 9


@pytest.mark.postgres
async def test_an_index_made_anew_within_a_look_is_not_told_as_whole(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with finding(postgres_url) as here:
        ada = await here.world.person()
        room = await here.world.room(ada)
        await here.say(room, ada, "a word")
        await here.indexed()
        propose = here.index._engine.propose
        renewed: list[bool] = []

        def proposed(conn: Any, wanted: Any, limit: int) -> Any:
            if not renewed:
                renewed.append(True)
                await_only(here.indexer.renew())
            return propose(conn, wanted, limit)

        monkeypatch.setattr(here.index._engine, "propose", proposed)
        found = await here.find(ada, "word")
        assert (found.complete, found.indexed_until) == (False, 0)
