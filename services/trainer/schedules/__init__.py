"""Schedules: when a pipeline is started without a hand, and why it was or was not."""
