"""Attributions of a model's output to its inputs, by asking the model and nothing else.

Needs numpy (1.26 or 2) and the standard library alone, and imports nothing of this project: the same files run inside
Triton's Python backend, as a part of every explainer, and in whatever process wants an explanation of its own.
"""
