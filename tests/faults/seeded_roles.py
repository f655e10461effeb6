"""The bugs of server roles, for test_seeded_bugs.py: name, file, old text, new text, and the test that catches it."""

ROLES = [
    (
        "nothing is known of who has left: but of the guests they were",
        "store/write/people/leaving.py",
        'or_(actors.c.key == bindparam("its_key"), actors.c.became_key == bindparam("its_key"))',
        'actors.c.key == bindparam("its_key")',
        "store/write/people/test_leaving.py::test_nothing_is_known_of_who_has_left_and_all_else_is_as_it_was",
    ),
    (
        "who was leaving when the process was killed leaves at the next start: never",
        "core/runtime.py",
        "        await self.register.go_on()\n        self._recovered = True\n",
        "        self._recovered = True\n",
        "wire/test_leaving.py::test_who_was_leaving_when_the_process_was_killed_has_left_after_the_next_start",
    ),
    (
        "who signs up is approved first: they sign in all the same",
        "store/write/people/accounts.py",
        "    if owner.status is AccountStatus.PENDING:\n",
        "    if owner.status is AccountStatus.DISABLED:\n",
        "wire/api/test_people.py::test_who_signs_up_where_that_needs_an_approval_waits_for_it",
    ),
    (
        "rights hold where it is written: a server role that was lost is believed",
        "store/write/people/accounts.py",
        "    check_server(act, stored_accounts.role_of(tx.conn, by), of=of)\n",
        "",
        "store/write/people/test_accounts.py::test_every_command_gives_what_the_table_says",
    ),
    (
        "rights hold where it is written: who is disabled still has them",
        "store/read/accounts.py",
        "found[0].actor.server_role if found and active else None",
        "found[0].actor.server_role if found else None",
        "store/write/people/test_accounts.py::test_who_is_disabled_has_no_right_any_more",
    ),
    (
        "rights hold where it is written: anyone gives roles",
        "store/write/people/accounts.py",
        "        by = allowed(tx, ServerAct.ROLES, self.by)\n",
        "        by = tx.actor(self.by)\n",
        "store/write/people/test_accounts.py::test_every_command_gives_what_the_table_says",
    ),
    (
        "the last owner stays: anyone may go",
        "store/write/people/accounts.py",
        "    if stored_accounts.owners(tx.conn) == [known_actor(tx, account.actor.id).key]:\n",
        "    if not stored_accounts.owners(tx.conn):\n",
        "wire/api/test_people.py::test_the_last_owner_stays_one",
    ),
    (
        "people are told to admins alone: everyone is told all",
        "core/identity/register.py",
        "        check_server(ServerAct.PEOPLE, me.server_role)\n",
        "",
        "wire/api/test_people.py::test_what_happens_to_accounts_is_audited_and_holds_ids_alone",
    ),
    (
        "nobody is read silently: an admin is a reader without joining",
        "core/access.py",
        "        found = await self._store.read(rooms.get, room, actor.id)\n        role = None\n",
        (
            "        found = await self._store.read(rooms.get, room, actor.id)\n"
            "        if found is not None and oversees(actor.server_role):\n            return found\n"
            "        role = None\n"
        ),
        "wire/api/test_people.py::test_an_admin_sees_of_a_room_its_title_members_and_size_and_nothing_that_was_said",
    ),
    (
        "nobody is read silently: an admin's joining is not told",
        "store/write/members.py",
        "        tx.log(room, EventType.MEMBER_JOINED, by, data=data, name=by.name)\n        audit(tx, EventType.ADMIN",
        "        audit(tx, EventType.ADMIN",
        "wire/api/test_people.py::test_an_admin_reads_a_room_only_by_joining_it_which_all_members_see",
    ),
    (
        "the audit room is nobody's: an admin sees it as a room",
        "core/access.py",
        "        if room == AUDIT or not oversees(actor.server_role):\n",
        "        if not oversees(actor.server_role):\n",
        "wire/api/test_people.py::test_an_admin_archives_gives_away_deletes_and_restores_any_room",
    ),
    (
        "the audit room is nobody's: an admin deletes it",
        "store/write/transaction.py",
        "        asks = by if as_admin and action in OVERSEEN and room.id != AUDIT else None\n",
        "        asks = by if action in OVERSEEN else None\n",
        "wire/api/test_people.py::test_nobody_governs_the_audit_room_nor_any_other_who_was_an_admin",
    ),
    (
        "the audit room is told to admins alone: everyone reads it",
        "core/audit.py",
        "    check_server(ServerAct.AUDIT, me.server_role)\n",
        "",
        "wire/api/test_people.py::test_what_happens_to_accounts_is_audited_and_holds_ids_alone",
    ),
    (
        "taken away stays away: who left as a reader is a member by an old link",
        "store/write/people/invitations.py",
        "        given = MemberRole.READER if again else invitation.role\n",
        "        given = invitation.role\n",
        "store/read/test_invitations.py::test_who_left_as_a_reader_comes_back_as_no_more_by_a_link_of_before",
    ),
    (
        "taken away stays away: a link to a password outlives its maker's role",
        "store/write/people/accounts.py",
        "            allowed(tx, ServerAct.MANAGE, maker, of=account.actor.server_role)\n        except",
        "            assert maker is None or maker\n        except",
        "store/write/people/test_accounts.py::test_a_link_to_a_password_ends_with_its_makers_right_to_make_it",
    ),
    (
        "taken away stays away: an expired key is good for what was asked by it",
        "store/read/devices.py",
        "        or_(keys.c.expires_ms.is_(None), keys.c.expires_ms > database_now),\n",
        "        or_(keys.c.expires_ms.is_(None), database_now > 0),\n",
        "store/read/test_devices.py::test_an_expired_key_is_good_for_nothing_that_was_asked_by_it",
    ),
    (
        "taken away stays away: a visitor's token is forgotten, and makes that guest again",
        "store/write/people/credentials.py",
        "            is_visitors = stored_actors.guest_of(token) == actor\n",
        "            is_visitors = stored_actors.guest_of(token) == actor and not actor\n",
        "store/read/test_devices.py::test_what_ended_long_ago_is_forgotten_but_for_what_keeps_a_visitor_from_coming_back",
    ),
    (
        "nobody is taken for somebody: what a provider says like true is true",
        "core/identity/elsewhere.py",
        'claims.get("email_verified") is True',
        'bool(claims.get("email_verified"))',
        "core/identity/test_elsewhere.py::test_an_address_stands_for_a_person_only_where_it_is_surely_theirs_alone",
    ),
]
