"""Keeps: the log on SQLite and PostgreSQL. The only SQL of Palaver."""
