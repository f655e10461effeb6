"""The spool: keeps what the database cannot take now, and stores it when the database is back.

`messages` keeps what people send, `exchanges` what API clients ask and are answered.
"""
