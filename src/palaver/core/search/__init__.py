"""Search: what a query asks for, and which messages are that.

Read `query` (how a query is read), then `match` (whether and where a text is what it asks for). What an index holds
of a text is in `store/tokens`.
"""
