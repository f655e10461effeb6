"""The doors: bytes to calls and back. They decide nothing.

Read `app` (what is served), `shapes` (what JSON looks like), `auth`, then `live` (palaver.v1), `api` (REST), `openai`
and `classic`. `edge` bounds what comes in, `server` runs it all, `pages` is what people and operators look at.
"""
