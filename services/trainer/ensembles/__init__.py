"""Ensembles: weights of several versions on held-out rows, guarded against overfitting, and what serves them.

    provenance           whether members were trained on the rows that weigh or judge
    rows, loss, solve    members' predictions, a proper loss of their weighted average, its minimum on the simplex
    choice, paired       how far to trust that minimum, by cross-fitting; intervals of paired differences
    tuning, sentences    the decision on untouched rows, and its words
    adapt                members of other names, shapes and types brought to one form
    pooling, merge       one ONNX model out of the members' own
    beside               the members in one version of Triton's Python backend
    triton               the same by Triton's ensemble scheduling, for members of any backend

Files are touched by `onnxfiles` alone, and models are run by `agreement` alone; the rest is pure.
"""
