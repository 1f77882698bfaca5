"""Envoy's configuration, made by pure functions from a snapshot of what is wanted, and how it gets there."""
