"""Commands applied inside one transaction."""
