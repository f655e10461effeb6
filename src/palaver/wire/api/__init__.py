"""REST, by noun: `rooms` and all that is in them, and `feed`, the events of a room over HTTP."""
