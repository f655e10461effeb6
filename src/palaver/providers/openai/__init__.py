"""The provider for servers that speak OpenAI's API: `client` asks, `request` writes, `accumulator` reads.

`passthrough` carries a client's own body there and back unchanged, `completion` asks for a whole answer, `models` lists
what a server offers, and `shapes` takes the many forms in which servers write the same thing.
"""
