"""Building requests and reading answers, without any input or output.

`bmase.sync` and `bmase.aio` are thin edges over this package: they send a `Call`, walk a `Listing`, follow a `Watch`.
"""
