"""Anthropic's Messages API as a provider.

`client` calls it, `request` says a conversation in its words, `events` reads what it streams, `models` what it offers.
"""
