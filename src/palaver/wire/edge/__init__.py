"""The edge: bounds on what a connection sends, below and around ASGI, and the log of requests.

Read `protocols` (uvicorn's, with bounds), `limits` (hosts, origins, sizes), `proxies`, `rates` and `waiting`.
"""
