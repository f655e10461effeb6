"""Calls to model servers over HTTP: `client` makes them, `route` leads there, `connection` carries the bytes.

`deadline` ends what is silent; `sse` and `encodings` read what comes back. Nothing here knows what the bytes mean.
"""
