"""Answers: how one begins, streams, and ends with exactly one write.

Read `engine` (the life of an answer), `recorder` (journal first, then the readers), `tape` (what an API client reads),
`pieces` and `outcome` (what is stored), and `context` (what the model is sent).
"""
