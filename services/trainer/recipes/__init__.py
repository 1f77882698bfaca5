"""Training code that comes with BMASE, each under a name that jobs ask for."""
