"""The spool: keeps what the database cannot take now, and stores it when the database is back.

Read `spool` first, the machine; then `messages`, what people send, and `exchanges`, what API clients ask and get.
"""
