"""Live traffic against the reference of its version: `engine.DriftEngine` is the way in, everything else is pure."""
