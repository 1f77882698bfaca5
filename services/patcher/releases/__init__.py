"""Releases: moving a model's traffic from its stable version to a candidate, on evidence."""
