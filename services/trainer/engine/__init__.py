"""Runs attempts of jobs: a driver process for each, workers on Ray, and what they say on its way to the records."""
