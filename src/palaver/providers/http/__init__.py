"""Calls to model servers over HTTP: `client` makes them, `connection` carries them, `deadline` ends them.

`sse` and `encodings` read what comes back. Nothing here knows what the bytes mean.
"""
