"""Seeded bugs of API keys: name, file, what becomes what, and the test that must fail."""

_LIMITED = "wire/test_keys.py::test_for_a_limited_key_there_are_no_other_rooms"

OF_KEYS = (
    (
        "nobody reads what he may not: any key reads the figures",
        "wire/app.py",
        "            check_scope(key.scopes, Key.METRICS, reads=True)\n",
        "",
        "wire/pages/test_metrics.py::test_from_another_machine_it_wants_a_key_for_it",
    ),
    (
        "nobody does what he may not: a key that has expired goes on",
        "core/identity/api_keys.py",
        "if expires_ms is not None and expires_ms <= self._clock.now_ms():",
        "if expires_ms is not None and expires_ms < 0:",
        "core/identity/test_api_keys.py",
    ),
    (
        "nobody reads what he may not: a key finds rooms to which it is not limited",
        "core/access.py",
        "        check_room(actor, room)\n",
        "",
        "wire/openai/test_auth.py::test_for_a_key_that_is_limited_to_rooms_there_are_no_others",
    ),
    (
        "nobody does what he may not: at /api a key is good for everything",
        "wire/api/body.py",
        "            check_key(me, declared.act, declared.own_scope, reads=reads)\n",
        "",
        "wire/test_keys.py::test_a_key_makes_no_keys_sessions_devices_or_passwords",
    ),
    (
        "nobody does what he may not: on a live connection a key is good for everything",
        "wire/live/connection.py",
        '        self._check_key(declared, given.get("room"))\n',
        "",
        _LIMITED,
    ),
    (
        "nobody does what he may not: at /api a limited key writes elsewhere",
        "wire/api/body.py",
        "                check_room(me, room)\n",
        "                pass\n",
        _LIMITED,
    ),
    (
        "nobody reads what he may not: a limited key hears of other rooms",
        "core/live/reader.py",
        "        if not self._opens(event.room):\n            return\n",
        "",
        _LIMITED,
    ),
)
