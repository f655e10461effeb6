"""The search index: beside the database, derived of it, and made anew whenever it does not fit."""
