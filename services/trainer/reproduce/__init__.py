"""Reproducing a version: what made it, that environment built anew, and how the second result compares with the first.

    code, packages, machine   what is observed: files of the code, packages of the environment, the machine under it
    record, changes           the frozen record of a version, and what two of them differ in
    determinism               what a worker sets before user code
    requirements, environment the recorded environment, built again and checked
    weights, safetensors      tensors of model files
    tensors, series           comparisons of arrays and of metric series
    runs, tolerance, verdict  a version against its reproduction, in one document and one sentence

Nothing here starts a training: a job is run again with the recorded environment, seed and data, and then judged.
"""
