"""The server process: `server` runs one, `workers` several, `control` lets commands talk to them.

`opening` answers while the core still opens.
"""
