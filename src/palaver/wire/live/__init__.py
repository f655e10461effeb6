"""`palaver.v1` on a WebSocket: `connection` is the life of one, `frames` what is said on it."""
