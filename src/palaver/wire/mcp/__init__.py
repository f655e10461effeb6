"""MCP, by which a model's host searches and reads what its person may: `routes` over HTTP, `stdio` for one program.

Both speak by the official SDK, which comes with the extra `mcp` and is imported when it is first needed. `tools` says
what there is to call, and `told` how what others wrote is told to a model: marked as data, and never too much at once.
"""
