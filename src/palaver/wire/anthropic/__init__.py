"""Anthropic's Messages API as a door: `POST /v1/messages`, answered by any model server, stored as every conversation.

Nobody but this folder and the provider of that name knows the API's JSON.
"""
