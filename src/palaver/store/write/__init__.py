"""Writing: commands, and the SQL that applies each of them inside one transaction.

Read `command` (what can be asked), `writer` (who batches them), `batch` and `transaction` (what one commit does), then
the noun that interests you.
"""
