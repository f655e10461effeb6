"""Keeps the log, on SQLite and PostgreSQL. The only SQL of Palaver.

Read `store` (its promises), `schema` (the tables), `write` (commands and the writer), `read`, `journal` (answers while
they run), then `engine` (the two databases) and `admin` (what an operator does).
"""
