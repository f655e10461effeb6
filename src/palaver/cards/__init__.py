"""Cards of agents as files: our own form, those of other programs, and a few to begin with."""
