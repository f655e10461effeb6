"""Seeded bugs of webhooks: name, file, what becomes what, and the test that must fail."""

_TOLD = "core/test_deliveries.py::test_everything_is_told_once_and_in_the_order_of_its_room"

OF_WEBHOOKS = (
    (
        "one order: a webhook is told the newest of a room first",
        "store/read/webhooks.py",
        "select(func.min(deliveries.c.key))",
        "select(func.max(deliveries.c.key))",
        _TOLD,
    ),
)
