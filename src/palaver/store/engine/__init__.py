"""The two database engines: connections, threads, deadlines, locks, statements, and the mapping of their errors.

Read `base` (what an engine gives), `sqlite`, `postgresql`, then `statement` (SQL compiled once) and `errors`.
"""
