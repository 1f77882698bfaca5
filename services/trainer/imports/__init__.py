"""Foreign models: loaded where they can do no harm, converted to ONNX, and held against what they were.

`cell` and `originals` run inside the sandbox, in whatever environment the format needs: they import neither the kit nor
the rest of the trainer.
"""
