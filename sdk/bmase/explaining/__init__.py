"""Explanations of served models: explainers that are deployed beside them, and how their answers are read and shown."""
