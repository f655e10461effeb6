"""The Responses API: `routes` answers, `requests` reads what is asked, `events` makes what is streamed.

`replay` tells a response again, `relay` passes on a model server's own, and `packing` keeps its items.
"""
