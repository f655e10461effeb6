"""REST, `/api`, by noun: `me`, `rooms`, `messages` and their `feed`; `body` reads and answers for all of them."""
