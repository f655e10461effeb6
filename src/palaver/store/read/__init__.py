"""Reading: the queries of each noun, all inside a transaction that writes nothing."""
