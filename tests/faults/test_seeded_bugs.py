"""The tests are tested: every promise that a mechanism keeps has a deliberate bug, which the named test must catch.

A bug is one replacement in a copy of the package; the test then runs on the copy, in a process of its own, and must
fail. Where the old text is gone from the file, the bug must be written anew: that is a failure, too. `./test` tries
`SAMPLE` of those whose test is short, others each day; `./test torture` tries all.
"""

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.bugs_of_keys import OF_KEYS
from tests.faults.bugs_of_webhooks import OF_WEBHOOKS
from tests.faults.seeded_roles import ROLES

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 3
THRICE = 3
"""A seeded test of `./test` lives a third of the lives in which these bugs were found to show themselves, or half."""
DAY_SECONDS = 86_400
LIVES = "core/test_runtime.py::test_nothing_is_lost_doubled_or_reordered_in_any_life"
READERS = "core/live/test_reader.py::test_every_reader_sees_every_event_once_and_in_order_in_thousands_of_lives"
RIGHTS = "core/live/test_rights.py"
ASKERS = "core/answers/test_askers.py"
TABLE = "core/test_every_right.py::test_every_query_and_command_gives_what_the_table_says"
MATRIX = "wire/test_permissions.py::test_everyone_is_told_at_every_call_what_the_table_says"


@dataclass(frozen=True, slots=True)
class Bug:
    """`old` becomes `new` in `file`, and `test` must fail. `effort`: how hard a seeded test has to try for that.

    `hangs`: the test waits until its time is over. `postgres`: it shows itself on PostgreSQL alone.
    """

    name: str
    file: str
    old: str
    new: str
    test: str
    effort: float = 1
    hangs: bool = False
    postgres: bool = False


BUGS = [
    Bug(
        "stored means stored: acknowledged without a commit",
        "store/engine/sqlite.py",
        "    with conn.begin():\n        return work(conn)\n",
        "    with conn.begin() as transaction:\n        result = work(conn)\n"
        "        transaction.rollback()\n        return result\n",
        "test_facade.py::test_what_was_said_is_there_when_it_is_opened_again",
    ),
    Bug(
        "stored means stored: a commit is not synced",
        "store/engine/sqlite.py",
        '"synchronous = FULL"',
        '"synchronous = NORMAL"',
        "store/test_engine.py::test_the_file_is_as_safe_as_promised",
    ),
    Bug(
        "stored means stored: published before the commit",
        "store/write/writer.py",
        "            assert len(results) == len(commands)\n",
        "            assert len(results) == len(commands)\n"
        "            self.committed(transaction.events)\n",
        LIVES,
    ),
    Bug(
        "accepted means kept: acknowledged without a sync",
        "core/spool/messages.py",
        "        await self._sync()\n        if draft.id",
        "        if draft.id",
        LIVES,
        effort=4,
    ),
    Bug(
        "accepted means kept: the next start does not look for it",
        "core/spool/spool.py",
        "in records if kind == DRAFT]",
        "in records if kind == b'-']",
        "core/spool/test_messages.py::test_accepted_messages_survive_the_process",
        hangs=True,
    ),
    Bug(
        "accepted means kept: stored in a history that has lost something since",
        "core/rollback.py",
        "return self.behind is None or epoch == self._store.epoch",
        "return True",
        "core/test_rollback.py::test_nothing_that_was_accepted_is_stored_in_a_history_that_is_behind",
    ),
    Bug(
        "what was seen survives: a start deletes what its history does not know",
        "store/journal.py",
        "if not waiting.isdisjoint(orphan.records):",
        "if False:",
        "core/test_rollback.py::test_what_was_shown_of_an_answer_waits_for_the_turn_that_the_history_has_lost",
    ),
    Bug(
        "what was seen survives: shown before the journal has it",
        "core/answers/recorder.py",
        "        try:\n            self._journal.piece(self.turn.id, text, reasoning)\n",
        "        self._hub.add(self.stream, text, reasoning)\n"
        "        try:\n            self._journal.piece(self.turn.id, text, reasoning)\n",
        "core/answers/test_engine.py::test_a_full_journal_shows_nothing_and_loses_nothing",
    ),
    Bug(
        "what was seen survives: a dead process's answer is thrown away",
        "core/answers/recovery.py",
        "interrupted(exchange or turn, turn.fence, pieces, self._store.redaction, known)",
        "interrupted(exchange or turn, turn.fence, ())",
        "core/answers/test_recovery.py::test_what_a_dead_process_had_shown_comes_back_as_interrupted",
    ),
    Bug(
        "one order: a seq is left out",
        "store/write/messages.py",
        "    room.seq += 1\n    message",
        "    room.seq += 1 + room.seq % 7 // 6\n    message",
        "store/test_store.py::test_concurrent_writers_leave_no_hole_in_any_room",
    ),
    Bug(
        "one order: a hole in the ring is not seen",
        "core/live/feed.py",
        "        if event.seq > self.tail + 1:\n            self.skip(event.seq - 1)\n",
        "",
        READERS,
        0.1,
    ),
    Bug(
        "one order: what a reader missed is not made up for",
        "core/live/reader.py",
        "            cursor.seq = since\n",
        "            cursor.seq = cursor.feed.tail\n",
        READERS,
        0.1,
    ),
    Bug(
        "one order: what the bus lost is not asked for",
        "core/live/cluster.py",
        "                    if seq > tails.get(room, seq):\n",
        "                    if seq < 0:\n",
        "core/live/test_cluster.py::test_a_bus_that_loses_and_doubles_costs_no_reader_an_event",
        0.1,
    ),
    Bug(
        "one order: another epoch is taken for the same",
        "core/live/reader.py",
        "        if epoch is not None and epoch != self.epoch and since is not None:\n",
        "        if epoch is not None and epoch == self.epoch + '-' and since is not None:\n",
        LIVES,
        0.1,
    ),
    Bug(
        "a repeated send is stored once: the cid is not looked up",
        "store/write/messages.py",
        "    known = run.known.get(repeatable)\n",
        "    known = run.known.get((0, ''))\n",
        "store/test_store.py::test_a_cid_stores_one_message_also_after_reopening",
    ),
    Bug(
        "a repeated send is stored once: it is compared with what was made of it",
        "store/write/messages.py",
        "known.text if message.edited_ms is None else first_text(tx.conn, message)",
        "known.text",
        "store/test_store.py::test_a_message_that_was_changed_is_repeated_by_what_was_sent",
    ),
    Bug(
        "what a library repeats is stored once: it is compared with what was made of it",
        "store/write/messages.py",
        "    digest = row.digest or digest_of_message(message, None, salt)\n",
        "    digest = digest_of_message(message, None, salt)\n",
        "store/read/test_exchanges.py::test_entries_that_were_changed_are_repeated_by_what_was_sent",
    ),
    Bug(
        "one answer is one message: no fence",
        "store/write/turns.py",
        "    if row.state is not TurnState.OPEN or row.fence != fence:\n",
        "    if row.state is not TurnState.OPEN:\n",
        "store/read/test_turns.py::test_an_old_fence_finishes_nothing",
    ),
    Bug(
        "one answer is one message: a sender that is cut off is not answered",
        "core/messages.py",
        "            self._drafts.abandoned(command)",
        "            pass",
        "core/spool/test_messages.py::test_a_message_whose_sender_was_cut_off_while_it_was_written_is_written_again",
    ),
    Bug(
        "nobody reads what he may not: strangers see every room",
        "core/access.py",
        "check(Action.READ, found.role)\n",
        "assert found\n",
        "core/live/test_hub.py::test_a_strangers_room_cannot_be_read_along",
    ),
    Bug(
        "nobody reads what he may not: who was let in stays so for ever",
        "model/__init__.py",
        'ROOM_DELETED = "room.deleted", AccessChange.TAKEN',
        'ROOM_DELETED = "room.deleted", AccessChange.NONE',
        "core/live/test_hub.py::test_who_may_read_is_asked_again_when_that_may_have_changed",
    ),
    Bug(
        "nobody does what he may not: a command asks for too little",
        "store/write/messages.py",
        "tx.check(Action.TAKE_BACK, room, by, own=own)",
        "tx.check(Action.WRITE, room, by, own=own)",
        TABLE,
    ),
    Bug(
        "nobody does what he may not: what may be restored is listed for every member",
        "store/read/rooms.py",
        "            return [member_is_owner]\n",
        "            return []\n",
        TABLE,
    ),
    Bug(
        "nobody does what he may not: an API client writes where no conversation of its own is",
        "store/write/rooms.py",
        "    check(Action.WRITE, role_of_caller(found), archived=locked.archived_ms is not None)\n",
        "",
        TABLE,
    ),
    Bug(
        "nobody does what he may not: a key is good for everything",
        "wire/openai/auth.py",
        '        check_scope(key.scopes, scope, reads=request.scope.get("method") in READING)\n',
        "",
        MATRIX,
    ),
    *[Bug(*one) for one in (*OF_KEYS, *OF_WEBHOOKS)],
    Bug(
        "nobody does what he may not: a revoked key goes on",
        "core/identity/api_keys.py",
        "if not isinstance(key, ApiKey) or key.revoked_ms is not None or self._has_ended(key):",
        "if not isinstance(key, ApiKey):",
        MATRIX,
    ),
    Bug(
        "nobody does what he may not: a moderator deletes the room",
        "policy.py",
        "Action.GOVERN: (Right.ALL, Right.NONE,",
        "Action.GOVERN: (Right.ALL, Right.ALL,",
        "test_policy.py::test_every_act_is_refused_to_every_role_as_the_table_says",
    ),
    Bug(
        "nobody reads what he may not: a message is shown to whoever knows its id",
        "core/access.py",
        "if found is None or not await self.sees(actor, found.room):\n"
        "            raise Refused(Code.MESSAGE_NOT_FOUND",
        "if found is None:\n            raise Refused(Code.MESSAGE_NOT_FOUND",
        MATRIX,
    ),
    Bug(
        "nobody reads what he may not: an open room is a conversation of every program",
        "core/access.py",
        "        check(Action.READ, role_of_caller(found))\n",
        "",
        MATRIX,
    ),
    Bug(
        "nobody reads what he may not: a guest reads what is open to those with accounts",
        "store/read/rooms.py",
        "kept_out=bool(row.kept_out), status=row.status)",
        "kept_out=bool(row.kept_out), status=AccountStatus.ACTIVE)",
        MATRIX,
    ),
    Bug(
        "nobody reads what he may not: what was asked is told to whoever is asked for it",
        "core/exchanges.py",
        "if exchange is None or not owns(actor.id, exchange.actor):",
        "if exchange is None:",
        MATRIX,
    ),
    Bug(
        "nobody reads what he may not: what is another's is told in other words",
        "core/access.py",
        "            raise room_not_found()\n        check(",
        '            raise Refused(Code.ROOM_NOT_FOUND, "There is no such room.")\n        check(',
        MATRIX,
    ),
    Bug(
        "nobody reads what he may not: the audit room is found by everyone",
        "store/write/audit.py",
        "    visibility=Visibility.PRIVATE,\n",
        "    visibility=Visibility.OPEN,\n",
        MATRIX,
    ),
    Bug(
        "nobody does what he may not: who is refused has done it",
        "store/write/messages.py",
        "        tx.check(Action.TAKE_BACK, room, by, own=own)\n",
        "        mark(tx, room, by, there, deleted=True)\n"
        "        tx.check(Action.TAKE_BACK, room, by, own=own)\n",
        MATRIX,
    ),
    Bug(
        "taken away is taken away at once: a reader who was removed reads on",
        "core/live/reader.py",
        "        if cursor.sure_to is not None and not self._has_certain(cursor):\n",
        "        if cursor.sure_to is not None:\n            cursor.sure_to = None\n        if False:\n",
        f"{RIGHTS}::test_a_reader_is_let_go_with_the_reason_and_given_nothing_later",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: a right is asked for before what it is needed for was read",
        "core/live/reader.py",
        "            if cursor.doubts == doubts:",
        "            if cursor.doubts:",
        f"{RIGHTS}::test_nothing_later_reaches_who_was_removed_in_thousands_of_lives",
    ),
    Bug(
        "taken away is taken away at once: the list of rooms tells what happens there",
        "core/live/reader.py",
        "            self._taken[event.room] = event\n",
        "            pass\n",
        f"{RIGHTS}::test_a_reader_is_let_go_with_the_reason_and_given_nothing_later",
    ),
    Bug(
        "taken away is taken away at once: the answer of who was removed goes on",
        "store/read/turns.py",
        "    return allowed and row.status",
        "    return row.status",
        f"{ASKERS}::test_the_answer_of_who_lost_the_room_stops_and_what_came_is_kept",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: a stream goes on until the store was asked",
        "core/answers/tape.py",
        "        if self.doubts:\n            return False\n",
        "",
        f"{ASKERS}::test_what_is_in_doubt_is_told_no_further_until_the_store_was_asked",
    ),
    Bug(
        "taken away is taken away at once: a message of an ended session is stored",
        "store/write/messages.py",
        "    if command.by is not None and command.by not in run.standing:\n",
        "    if False:\n",
        "core/test_audit.py::test_nothing_is_stored_by_what_has_ended_before_this_process_hears_of_it",
    ),
    Bug(
        "taken away is taken away at once: a request of a revoked key is stored",
        "store/write/exchanges.py",
        "    if by is not None and by not in standing_of",
        "    if False and by not in standing_of",
        "core/test_audit.py::test_nothing_is_stored_by_what_has_ended_before_this_process_hears_of_it",
    ),
    Bug(
        "taken away is taken away at once: what was accepted of who is disabled is stored",
        "store/write/messages.py",
        "    refuse_disabled(status)\n",
        "",
        "core/spool/test_messages.py"
        "::test_what_was_accepted_is_rejected_when_its_author_was_out_before_it_was_stored",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: after a crash an answer by a revoked key is asked again",
        "core/answers/recovery.py",
        " and await self._is_wanted(turn, exchange):",
        ":",
        "core/answers/test_recovery.py"
        "::test_an_exchange_by_a_key_that_has_ended_meanwhile_is_not_asked_again",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: after a crash nobody knows by which key an answer runs",
        "core/answers/recovery.py",
        "LiveAnswer(turn, exchange, by=exchange.by)",
        "LiveAnswer(turn, exchange)",
        "core/answers/test_recovery.py"
        "::test_an_exchange_by_a_key_that_has_ended_meanwhile_is_not_asked_again",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: who was removed from an open room hears that things happen there",
        "core/live/reader.py",
        "            self._taken.setdefault(room, None)\n",
        "            pass\n",
        f"{RIGHTS}::test_the_list_of_rooms_tells_nothing_of_an_open_room_to_who_was_removed",
    ),
    Bug(
        "taken away is taken away at once: a connection outlives a session that has run out",
        "core/identity/devices.py",
        "            standings.end(session)\n",
        "            pass\n",
        "core/identity/test_devices.py::test_what_is_live_ends_when_its_session_runs_out",
        hangs=True,
    ),
    Bug(
        "taken away is taken away at once: what lives by a key of who is disabled goes on",
        "model/access.py",
        "        case EventType.ACCOUNT_STATUS if event",
        "        case EventType.ACCOUNT_STATUS if False and event",
        "core/test_audit.py"
        "::test_what_lives_by_a_key_of_who_is_disabled_ends_everywhere_until_they_are_enabled",
        hangs=True,
    ),
    Bug(
        "deletes can be undone: restoring does nothing",
        "core/rooms.py",
        "self._delete(actor, room, deleted=False)",
        "self._delete(actor, room, deleted=True)",
        "test_facade.py::test_a_deleted_room_comes_back_whole",
    ),
    Bug(
        "deletes can be undone: what was deleted by itself comes back with what was cleared",
        "store/write/clearing.py",
        "    .where(_last(EventType.MESSAGE_DELETED) <= _last(EventType.MESSAGE_RESTORED))\n",
        "",
        "store/write/test_clearing.py::test_what_is_said_while_a_long_history_is_cleared_stays",
    ),
    Bug(
        "edits keep what was there: the event carries what is there now",
        "store/write/edits.py",
        '"was": message.text}',
        '"was": after.text}',
        "store/write/test_edits.py::test_an_edit_is_told_with_what_was_there_and_what_is",
    ),
    Bug(
        "a failure is a code: it is stored as text",
        "core/answers/outcome.py",
        "    own = outcome.own.entries if outcome.own is not None else ()\n",
        "    own = outcome.own.entries if outcome.own is not None else ()\n"
        "    live.answer._word('t', '' if error is None else error.detail, 0)\n",
        "core/answers/test_engine.py::test_a_providers_failure_is_a_status_with_a_code_and_never_text",
    ),
    Bug(
        "an error means unknown: no deadline for those who wait",
        "store/write/writer.py",
        "            self._fail([*batch, *self._queue], errors.away())\n",
        "            pass\n",
        "store/write/test_writer.py::test_who_waits_too_long_is_told_and_so_is_who_waits_behind",
        hangs=True,
    ),
    Bug(
        "the feed loses nothing: it is paged by the key of what waits",
        "store/write/consumers.py",
        "        taken = sorted(tuple(row) for row in _TAKE.all(tx.conn))\n",
        '        moved = globals().get("moved", 0)\n'
        "        taken = sorted(tuple(row) for row in _TAKE.all(tx.conn) if row.key > moved)\n"
        '        globals()["moved"] = max([moved, *[row[0] for row in taken]])\n',
        "store/write/test_consumers.py"
        "::test_a_commit_that_ends_after_a_later_one_was_moved_comes_into_the_feed",
        postgres=True,
    ),
    Bug(
        "silent damage is told: the chain is not computed",
        "store/hash_chain.py",
        "    return blake2b(before + orjson.dumps(happened) + digest, digest_size=DIGEST_BYTES).digest()\n",
        "    return blake2b(orjson.dumps(happened[0]), digest_size=DIGEST_BYTES).digest()\n",
        "store/admin/test_verify.py::test_the_first_bad_event_of_a_room_is_named",
    ),
    Bug(
        "silent damage is told: lost commits are not",
        "store/admin/high_water.py",
        '        if chain is None or place.chain not in {"", chain.hex()}:\n',
        '        if chain is not None and place.chain not in {"", chain.hex()}:\n',
        "store/admin/test_high_water.py::test_lost_commits_are_told_and_not_served_silently",
    ),
    Bug(
        "an API answer's end is told once it is stored: it is told before",
        "core/answers/engine.py",
        "if ended or (recorder is not None and not recorder.leased()):",
        "if recorder is not None and not recorder.leased():",
        "core/test_exchanges.py::test_the_end_is_told_only_once_the_answer_is_stored",
    ),
    Bug(
        "two API turns at once lose neither: both go on in one place",
        "store/write/recognition.py",
        "if answered or asked else branch",
        "if answered else branch",
        "core/test_exchanges.py::test_two_turns_at_once_lose_neither",
    ),
    Bug(
        "what a library repeats is stored once: it is stored twice",
        "store/write/exchanges.py",
        "    if command.repeated or command.client:\n",
        "    if command.client:\n",
        "core/test_exchanges.py::test_a_request_that_is_repeated_by_a_library_is_answered_once",
    ),
    Bug(
        "agents answer agents within bounds: nobody counts the turns",
        "store/write/turns.py",
        "            depth=chain.depth,\n",
        "            depth=0,\n",
        "core/answers/test_speaking.py::test_agents_that_mention_each_other_stop_at_the_bound",
    ),
    Bug(
        "whoever waits begins: the end of a turn lets nobody begin",
        "store/write/turns.py",
        "        begun = [] if self.exchange else release(tx, room, self.turn)\n",
        "        begun: list[Turn] = []\n",
        "core/answers/test_speaking.py::test_whoever_waits_begins_after_a_crash_in_its_order",
    ),
    Bug(
        "an exchange ends once: a process that lost it ends it, too",
        "store/write/turns.py",
        "    if row.state is not TurnState.OPEN or row.fence != fence:\n",
        "    if row.state is not TurnState.OPEN:\n",
        "store/read/test_exchanges.py::test_a_claimed_turn_is_finished_by_its_new_owner_only",
    ),
    Bug(
        "an API chat goes on without the database: nothing of it is kept",
        "core/spool/spool.py",
        "            self.journal.keep(one.id, DRAFT, record)\n",
        "            pass\n",
        "core/spool/test_exchanges.py::test_what_was_kept_survives_the_process",
    ),
    Bug(
        "a provider's failure is a status: an answer of Anthropic's that was cut is whole",
        "providers/anthropic/passthrough.py",
        "return self.began and self._reader.ended",
        "return self.began",
        "providers/anthropic/test_client.py::test_an_end_without_its_reason_is_none",
    ),
    Bug(
        "what a model thought is its server's: it is told to another model",
        "providers/anthropic/request.py",
        'said.beside if said.beside.get("origin") == origin else NO_DATA',
        "said.beside",
        "providers/anthropic/test_client.py::test_thoughts_go_back_to_the_server_that_had_them_and_to_no_other_model",
    ),
    Bug(
        "a key goes nowhere else: a model's name leads to the other provider",
        "providers/profiles.py",
        "(one for one in self.profiles if one.owns(model))",
        "(one for one in self.profiles[:1] if one.owns(model))",
        "providers/test_profiles.py::test_the_name_of_a_model_says_who_answers",
    ),
    *(Bug(*one) for one in ROLES),
]


def caught(bug: Bug, directory: Path) -> None:
    copy = directory / "palaver"
    shutil.copytree(
        ROOT / "src" / "palaver", copy, ignore=shutil.ignore_patterns("__pycache__", "assets")
    )
    file = copy / bug.file
    text = file.read_text(encoding="utf-8")
    assert text.count(bug.old) == 1, f"{bug.name}: {bug.file} is written in another way now"
    file.write_text(text.replace(bug.old, bug.new), encoding="utf-8")
    tested = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"),
            *(
                "-m",
                "postgres" if bug.postgres else "not postgres",
                "--timeout",
                "600" if bug.test == LIVES else "60",
                f"tests/{bug.test}",
            ),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(directory),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PALAVER_TEST_EFFORT": str(THRICE * bug.effort),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = tested.stdout[-3_000:] + tested.stderr[-1_000:]
    assert tested.returncode == 1, f"{bug.name}: {bug.test} did not catch it\n{said}"
    assert "1 failed" in tested.stdout, said


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_the_bugs_of_the_day_are_caught(tmp_path: Path) -> None:
    day = int(time.time()) // DAY_SECONDS
    cheap = [bug for bug in BUGS if bug.test != LIVES and not bug.hangs]
    for number, bug in enumerate(random.Random(day).sample(cheap, SAMPLE)):
        caught(bug, tmp_path / str(number))


@pytest.mark.torture
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_every_seeded_bug_is_caught(bug: Bug, tmp_path: Path) -> None:
    caught(bug, tmp_path)


def test_every_bug_still_has_its_place() -> None:
    for bug in BUGS:
        text = (ROOT / "src" / "palaver" / bug.file).read_text(encoding="utf-8")
        assert text.count(bug.old) == 1, f"{bug.name}: {bug.file} is written in another way now"
