"""The command line. Read `main` (every command), then the noun that interests you."""
