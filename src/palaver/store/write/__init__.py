"""Writing: each command beside the SQL that applies it inside one transaction.

Read `command` (what a command and a batch are), `writer` (who batches them) and `transaction` (what the commands of one
commit share). Then the noun that interests you: `messages`, `rooms`, `members`, `actors`, `people` (accounts and what
lets them in: `people.credentials` are keys, tickets, devices), `turns`, and `exchanges` after `recognition` (where a
request of an API client goes on). `codec` writes accepted commands into the journal.
"""
