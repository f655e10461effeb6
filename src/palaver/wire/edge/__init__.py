"""The edge: bounds on what a connection sends, below and around ASGI, and the log of requests.

`protocols` are uvicorn's, with bounds; `limits` (hosts, origins, sizes), `sockets`, `proxies`, `rates` and `waiting`.
"""
