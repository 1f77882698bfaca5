"""Tests, and what they and the benches stand on. A package by name, as an installed one may be called the same."""
