"""The Responses API: `routes` answers, `asking` asks what `requests` reads, `events` makes what is streamed.

`socket` answers over WebSocket, `replay` tells a response again, `relay` passes on a model server's own, and `packing`
keeps its items.
"""
