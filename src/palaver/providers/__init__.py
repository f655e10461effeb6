"""Model providers: send a conversation, stream an answer.

Read `base` (what a provider is), then `pool` (which one answers), `profiles` (several as one), `call` (one call of an
API client) and `errors`. `http` is how bytes reach a model server; `openai` and `anthropic` are what is said to it.
"""
