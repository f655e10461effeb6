"""Who speaks: guests, people and agents, and what proves it.

Read `actors` (sessions and their tokens), then `devices` (several sessions of one person) and `api_keys`.
"""
