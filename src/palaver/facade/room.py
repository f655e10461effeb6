"""A room of an open Palaver, as a program sees it."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from palaver.core.answers.told import Rebuilt
from palaver.core.identity.invitations import DAYS
from palaver.core.live.items import Here
from palaver.core.runtime import Core
from palaver.core.search.search import Found
from palaver.errors import Code, Refused
from palaver.facade.answer import Answer
from palaver.facade.branches import Branches
from palaver.facade.following import Happening, of_room
from palaver.facade.speakers import Speakers
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    Invitation,
    Member,
    MemberRole,
    Message,
    MessageId,
    OpenTo,
    Page,
    Room as RoomValue,
    RoomId,
    Speaks,
    Then,
    TurnId,
)
from palaver.model.edits import Edited, Version
from palaver.policy import Action, allows, asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room. `value` is its state at the time of the call; `fresh` reads it again."""

    value: RoomValue
    _core: Core
    _program: Actor
    # who was a member when this was asked last; who is refused is asked again
    _members: set[ActorId] = field(default_factory=set[ActorId], repr=False, compare=False)

    @property
    def id(self) -> RoomId:
        """`r_` and 32 hex digits."""
        return self.value.id

    @property
    def title(self) -> str:
        """The title; "" while the room has none."""
        return self.value.title

    @property
    def speakers(self) -> Speakers:
        """The agents of the room, when they answer, and how they are asked and stopped."""
        return Speakers(self._core, self._program, self.id)

    @property
    def branches(self) -> Branches:
        """The other paths through the room's messages, and how they are chosen and named."""
        return Branches(self._core, self._program, self.id)

    # talking

    @asks(Action.WRITE)
    async def say(
        self,
        person: Actor,
        text: str,
        *,
        cid: str | None = None,
        reply_to: MessageId | None = None,
        models: Sequence[str] = (),
        after: int | None = None,
        branch: int | None = None,
    ) -> Message:
        """Stores a person's message and returns it once it is on the disk. The person becomes a member.

        `cid` (1 to 64 visible ASCII characters, unique for this person) makes the call safe to repeat: the same message
        comes back and nothing is stored twice. `models`: each answers it. `after`: the `seq` of the message that it
        follows, which begins a branch where that is not the newest of one (0: of none); `branch`: at whose end it
        stands instead. Refused: `empty_message`, `text_too_long`, `invalid_unicode`, `invalid_character`,
        `cid_invalid`, `cid_reused`, `bad_request` (an agent), `message_not_found` (reply_to, after),
        `branch_not_found`, `profile_not_found` (of a model).
        """
        if person.kind is not ActorKind.PERSON:
            raise Refused(Code.BAD_REQUEST, "Agents speak with `async with room.answer(agent)`.")
        place = {"reply_to": reply_to, "after": after, "branch": branch}
        send = partial(self._core.chat.send, text=text, cid=cid, models=models, **place)
        try:
            sent = await send(person, self.id)
        except Refused as refusal:  # nearly always a member already: asked only when it is not
            if refusal.code not in {Code.ROOM_NOT_FOUND, Code.FORBIDDEN}:
                raise
            self._members.discard(person.id)
            await self._let_in(person)
            sent = await send(person, self.id)
        assert sent.message is not None, "only a live reader's message is accepted unstored"
        return sent.message

    @asks(Action.EDIT)
    async def edit(
        self, actor: Actor, message: MessageId, text: str, *, version: int | None = None
    ) -> Edited:
        """Gives a message another text: of its author, or as the owner of what an agent answered.

        Gives it with its version. `version`: the one that was seen, where it was edited before. Refused: as `say` of a
        text; `message_not_found`, `not_editable` (it is deleted, or not words alone), `edit_conflict` (it has another
        version by now).
        """
        return await self._core.chat.edit(actor, self.id, message, text, version)

    @asks(Action.TAKE_BACK)
    async def delete_message(self, actor: Actor, message: MessageId) -> None:
        """Deletes a message: of its author, or as who leads the room. Refused: `message_not_found`, `forbidden`."""
        await self._core.chat.set_deleted(actor, message, deleted=True)

    @asks(Action.TAKE_BACK)
    async def restore_message(self, actor: Actor, message: MessageId) -> None:
        """Takes that back."""
        await self._core.chat.set_deleted(actor, message, deleted=False)

    @asks(Action.GOVERN)
    async def clear(self) -> int | None:
        """Deletes all that was said so far, and gives what `unclear` wants; None: nothing was."""
        return await self._core.rooms.clear(self._program, self.id)

    @asks(Action.GOVERN)
    async def unclear(self, seq: int) -> None:
        """Brings back what was cleared then, and since; what was deleted by itself stays so."""
        await self._core.rooms.unclear(self._program, self.id, seq)

    @asks(Action.WRITE)
    @asynccontextmanager
    async def answer(self, agent: Actor) -> AsyncGenerator["Answer", None]:
        """Streams an agent's answer: followers see each piece at once; the end of the block stores one message.

        After an exception in the block the text so far is stored as `failed`, with the code of `answer.fail` or else
        `internal`, and the exception is raised again. A cancellation stores it as `interrupted`. Afterwards
        `answer.message` is the stored message.
        """
        if agent.kind is not ActorKind.AGENT:
            raise Refused(Code.BAD_REQUEST, "People speak with `room.say(person, …)`.")
        await self._let_in(agent)
        async with self._core.turns.external(self.id, agent) as recorder:
            yield Answer(recorder, self._core.settings.answer_chars_max)

    @asks(Action.WRITE)
    async def react(
        self, actor: Actor, message: Message, emoji: str, *, there: bool = True
    ) -> None:
        """Reacts to a message of the room with one emoji, as a member of it; `there` False takes that away.

        `history` tells them as `message.reactions`. Refused: `emoji_invalid`, `message_not_found` (or deleted),
        `too_many_reactions` (more than 20 kinds).
        """
        await self._let_in(actor)
        await self._core.chat.react(actor, message.id, emoji, there=there)

    @asks(Action.WRITE)
    async def pin(self, actor: Actor, message: Message, *, there: bool = True) -> None:
        """Pins a message for all who read the room, as a member of it; `there` False takes that back.

        `history` tells it as `message.pinned`. Refused: `message_not_found` (or deleted), `too_many_marks` (more than
        100).
        """
        await self._let_in(actor)
        await self._core.chat.pin(actor, message.id, there=there)

    @asks(Action.READ)
    async def pins(self) -> Sequence[Message]:
        """Lists the pinned messages, the last pinned first."""
        return await self._core.chat.pins(self._program, self.id)

    @asks(Action.INVITE)
    async def add(
        self, actor: Actor, *, role: MemberRole = MemberRole.MEMBER, speaks: Speaks = Speaks.NEVER
    ) -> None:
        """Makes a person, or an agent as which the model `speaks`, a member of the room; also who was removed.

        Whoever is added sees all that was said before.
        """
        await self._let_in(actor, role, speaks=speaks, newcomer=False)

    @asks(Action.REMOVE)
    async def remove(self, actor: Actor) -> None:
        """Takes somebody out of the room, who is refused there (`forbidden`) until `add` lets them in again."""
        self._members.discard(actor.id)
        await self._core.members.remove(self._program, self.id, actor.id)

    @asks(Action.REMOVE)
    async def set_role(self, actor: Actor, role: MemberRole) -> Member:
        """Gives a member another role.

        Refused: `not_found` (no member), `last_owner`, `forbidden` (the program does not own the room any more).
        """
        self._members.discard(actor.id)
        return await self._core.members.set_role(self._program, self.id, actor.id, role)

    @asks(Action.PLACE)
    async def open_to(self, whom: OpenTo | None, *, role: MemberRole = MemberRole.READER) -> "Room":
        """Lets people with accounts, or everyone, find the room, who are readers or members there; None: its members.

        Who is no member of what is private has lost it at once. Refused: `bad_request` (another role), `forbidden`.
        """
        opened = await self._core.rooms.open_to(self._program, self.id, whom, role=role)
        return replace(self, value=opened)

    @asks(Action.PLACE)
    async def move(self, parent: "Room | None") -> "Room":
        """Puts the room under another one, of which it inherits nothing, or at the top.

        Refused: `room_tree` (under itself, or more than five deep).
        """
        place = None if parent is None else parent.id
        return replace(self, value=await self._core.rooms.move(self._program, self.id, place))

    @asks(Action.GOVERN)
    async def transfer(self, actor: Actor) -> "Room":
        """Gives the room to one of its members; the program stays as a moderator. Refused: `not_found` (no member)."""
        value = await self._core.members.transfer(self._program, self.id, actor.id)
        return replace(self, value=value)

    @asks(Action.MEMBERSHIP)
    async def leave(self, actor: Actor) -> None:
        """Lets a member go, who may come back. Refused: `room_not_found` (no member), `last_owner`."""
        self._members.discard(actor.id)
        await self._core.members.remove(actor, self.id, actor.id)

    @asks(Action.MEMBERSHIP)
    async def mute(self, actor: Actor, *, muted: bool = True) -> None:
        """Keeps the room quiet for a member, or no more. Refused: `room_not_found` (no member)."""
        await self._core.members.wish(actor, self.id, muted=muted)

    @asks(Action.MEMBERSHIP)
    async def put_on_top(self, actor: Actor, *, there: bool = True) -> None:
        """Puts the room on top of a member's list, or back. Refused: as `mute`, `too_many_marks` (more than 50)."""
        await self._core.members.wish(actor, self.id, pinned=there)

    @asks(Action.MEMBERSHIP)
    async def hide(self, actor: Actor, *, hidden: bool = True) -> None:
        """Takes the room out of a member's list until something is said in it, or not. Refused: as `mute`."""
        await self._core.members.wish(actor, self.id, hidden=hidden)

    @asks(Action.INVITE)
    async def invite(
        self, *, role: MemberRole = MemberRole.MEMBER, uses: int | None = None, days: int = DAYS
    ) -> tuple[str, Invitation]:
        """Makes a link (`…/invite#<token>`) into the room, also for guests; its token, told this once, and itself.

        `role`: a member or a reader; `uses`: 1 to 1,000, None for any number; `days`: 1 to 365. Refused:
        `bad_request`, `too_many_invitations`.
        """
        return await self._core.invitations.make(
            self._program, self.id, role=role, uses=uses, days=days
        )

    @asks(Action.INVITE)
    async def invitations(self) -> Sequence[Invitation]:
        """Lists the links into the room that are open, the oldest first, at most 100."""
        return await self._core.invitations.of_room(self._program, self.id)

    @asks(Action.INVITE)
    async def revoke_invitation(self, invitation: str) -> None:
        """Ends a link into the room; who came by it stays. Refused: `invite_not_found`."""
        await self._core.invitations.revoke(self._program, invitation, self.id)

    @asks(Action.READ)
    async def members(self, person: Actor | None = None) -> AsyncGenerator[Member, None]:
        """Yields who is in the room, owners first. `for_me`: whether an agent answers `person` (None: the program)."""
        cursor: str | None = None
        while True:
            found, cursor = await self._core.members.page(
                self._program, self.id, limit=200, cursor=cursor, asker=person and person.id
            )
            for member in found:
                yield member
            if cursor is None:
                return

    @asks(Action.READ)
    async def here(self) -> Here:
        """Tells who reads the room now, in this process or another server of the database: `count` and `people`, ids.

        `people` is None where they are more than 100. Programs, and who does not want to be seen, do not count.
        """
        return await self._core.members.here(self._program, self.id)

    async def _let_in(
        self,
        actor: Actor,
        role: MemberRole = MemberRole.MEMBER,
        *,
        speaks: Speaks = Speaks.NEVER,
        newcomer: bool = True,
    ) -> None:
        if actor.id in self._members:
            return
        try:
            seen = await self._core.rooms.get(actor, self.id)
            in_it = seen.joined or seen.open_role is None
            member = in_it and allows(Action.WRITE, seen.role)
        except Refused as refusal:
            if refusal.code is not Code.ROOM_NOT_FOUND:
                raise
            member = False
        if not member:
            await self._core.rooms.join(
                self._program, self.id, actor, role=role, speaks=speaks, newcomer=newcomer
            )
        self._members.add(actor.id)

    # reading

    @asks(Action.READ)
    async def history(
        self,
        *,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        at: int | None = None,
        branch: int | None = None,
        limit: int = 50,
    ) -> Page:
        """Reads a page of messages, oldest first: the newest, or those before, after or around a `seq`.

        `at` (alone, or with `before`): as they were at that seq. `branch`: on whose path they lie; None: the room's
        main one, or that in which `around` lies. `page.before` and `page.after` are the next cursors, None where there
        is no more. A `limit` over 200 counts as 200. Refused: `limit_invalid`, `bad_request` (more than one of the
        three), `history_reset`, `branch_not_found`.
        """
        asked = {"before": before, "after": after, "around": around, "at": at, "branch": branch}
        return await self._core.chat.history(self._program, self.id, **asked, limit=limit)

    @asks(Action.READ)
    async def versions(self, message: MessageId) -> Sequence[Version]:
        """Reads what a message said, the oldest version first, at most the last 50. Refused: `message_not_found`."""
        found, _ = await self._core.chat.versions(self._program, self.id, message)
        return found

    @asks(Action.READ)
    async def then(self, at: int) -> Then:
        """Reads what the room was at a `seq`: `title`, `members` with their roles, and the `event` there.

        Refused: `history_reset` (the room has not reached it), `bad_request` (below 1).
        """
        return await self._core.chat.then(self._program, self.id, at)

    @asks(Action.READ)
    async def search(
        self, query: str, *, limit: int = 20, cursor: str | None = None, relevance: bool = False
    ) -> Found:
        """Finds messages of this room, as `chat.search` does."""
        return await self._core.search.find(
            self._program, query, room=self.id, limit=limit, cursor=cursor, relevance=relevance
        )

    @asks(Action.READ)
    async def prompt(self, answer: Message) -> Rebuilt:
        """Builds again what a model was told for its `answer`: `request`, and whether it is the `same` as was sent.

        Where it is not, `why` says what may have changed. Refused: `turn_not_found` (no answer that a model gave here).
        """
        turn = TurnId(answer.meta.get("turn", ""))
        return await self._core.told.again(self._program, turn, trusted=True)

    @asks(Action.READ)
    def follow(self, *, since: int | None = None) -> AsyncGenerator[Happening, None]:
        """Yields every event after `since` once and in order, and answers as they stream, until the chat is closed.

        `since`: the `seq` of the last event that you have, 0 for all events, None for those from now on. An answer
        comes as `Opened`, then `Delta`s, then the `Event` whose message has the same id (or `Ended`, when nothing was
        stored). Refused: `history_reset` (the room has not reached `since`).
        """
        return of_room(self._core, self._program, self.id, since)

    @asks(Action.READ)
    async def fresh(self) -> "Room":
        """Reads the room again. Refused: `room_not_found`."""
        return replace(self, value=await self._core.rooms.get(self._program, self.id))

    # keeping order

    @asks(Action.NAME)
    async def rename(self, title: str) -> "Room":
        """Changes the title. Refused: `title_too_long`, `room_protected`."""
        return replace(self, value=await self._core.rooms.rename(self._program, self.id, title))

    @asks(Action.GOVERN)
    async def archive(self) -> "Room":
        """Lets nothing more be said in the room (`room_archived`), which can still be read."""
        return await self._archived(archived=True)

    @asks(Action.GOVERN)
    async def unarchive(self) -> "Room":
        """Takes that back."""
        return await self._archived(archived=False)

    async def _archived(self, *, archived: bool) -> "Room":
        value = await self._core.rooms.set_archived(self._program, self.id, archived=archived)
        return replace(self, value=value)

    @asks(Action.READ)
    async def fork(self, message: Message) -> "Room":
        """Makes a room that begins with what was said up to a message: at most the last 2,000 messages."""
        return replace(
            self, value=await self._core.rooms.fork(self._program, message.id), _members=set()
        )

    @asks(Action.GOVERN)
    async def delete(self) -> None:
        """Deletes the room; `restore` undoes that."""
        await self._core.rooms.delete(self._program, self.id)

    @asks(Action.GOVERN)
    async def restore(self) -> "Room":
        """Restores the deleted room with all of its messages."""
        return replace(self, value=await self._core.rooms.restore(self._program, self.id))
