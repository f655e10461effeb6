"""Live delivery: who reads along, and what each reader is given, in this process and in others.

Read `items` (what is delivered), `hub` (one feed a room), `reader` (one reader) and `cluster` (the other processes).
"""
