"""What an operator does with a database: back it up, restore, copy and verify it, and see that it lost nothing.

`high_water` is the mark beside the database that tells how far it once came.
"""
