"""The OpenAI-compatible door, `/v1`.

Read `router` (every route), `auth` (who may ask for what), then `chat` (completions), `responses`,
`conversations`, `models`, and `proxy` (what goes to the model server unchanged).
"""
