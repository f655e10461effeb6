"""Commands about people: their accounts, what lets them in, and what goes when they leave."""
