"""Chat completions: `routes` answers them and lists kept ones, `messages` reads and writes their messages."""
