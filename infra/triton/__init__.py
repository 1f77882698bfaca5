"""Triton Inference Server as this platform runs it: its backends, its environment, its command line."""
