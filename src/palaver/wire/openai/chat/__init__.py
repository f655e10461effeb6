"""Chat completions: `routes` answers them, `messages` reads and writes their messages, `stored` lists kept ones."""
