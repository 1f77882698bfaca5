"""Reproducing a version: what made it, that environment built anew, and how the second result compares with the first.

code, platform            what is observed: files of a bundle, files of ours that a recipe is made of,
packages, checks, machine packages of the environment, the machine under it
record, observe, changes  the frozen record of a version, how it is taken, and what two of them differ in
determinism               what a worker sets before user code
requirements, environment the recorded environment, built again and checked
pinned                    locks that are given, as requirements with hashes
indexes                   from where packages are taken
data, rows, train         the recorded training, run once more under that environment's Python
weights, safetensors      tensors of model files
heldout, made             what a model answers on rows that it has not seen; what a training left on disk
tensors, series           comparisons of arrays and of metric series
runs, tolerance, verdict  a version against its reproduction, in one document and one sentence
again, recipe, job        all of it in its order, as the recipe "reproduce"
"""
