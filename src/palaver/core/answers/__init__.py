"""Answers: how one begins, streams, and ends with exactly one write.

Read `engine` (the life of an answer), `source` (where its pieces come from), `bots` (those that a program says),
`recorder` (journal first, then the readers), `tape` (what an API client reads), `outcome` and `pieces` (what is
stored), `recovery` (what dead processes left), and `context` (what the model is sent).
"""
