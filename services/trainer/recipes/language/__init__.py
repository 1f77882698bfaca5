"""Language model: a causal transformer, from scratch or from a folder."""
