"""Recommendation: matrix factorisation with biases, served as scores over all items."""
