"""Decides what is allowed, what happens, and who answers.

The only caller of the store's writing side; knows no HTTP and no JSON shapes. Read `runtime` and `part` (how the
parts are put together), `messages` (what happens to a message), then `answers`, `live` and `spool`.
"""
