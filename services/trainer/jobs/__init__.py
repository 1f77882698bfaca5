"""Jobs: what is to be trained, in which order, and what became of it."""
