"""What the two database engines need: connections, threads, deadlines, locks, and the mapping of their errors."""
