"""The trainer: from data to a version that can be trusted, repeated and explained."""
