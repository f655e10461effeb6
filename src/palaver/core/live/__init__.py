"""Live delivery: who reads along, and what each reader is given, in this process and in others.

Read `items` (what is delivered), `feed` (one room), `hub` (all of them), `reader` (one reader), and for the other
processes `outbox` (what they are told) and `cluster` (what they tell).
"""
