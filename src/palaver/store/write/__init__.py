"""Writing: each command beside the SQL that applies it inside one transaction.

Read `command` (what one is), `writer` (who batches them), `batch` and `transaction` (what one commit does), then the
noun that interests you.
"""
