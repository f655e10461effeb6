"""Decides what is allowed, what happens, and who answers.

The only caller of the store's writing side; knows no HTTP and no JSON shapes. Read `runtime`, `ground` and `part` (how
the parts are put together), `access` and `identity` (who may what), `messages` and `rooms`, then `answers`, `live` and
`spool`.
"""
