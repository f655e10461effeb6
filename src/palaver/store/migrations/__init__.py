"""The database's revisions, in order. Once released, a revision is never changed."""
