"""Examples, run from the checkout's root: `python -m examples.digits.demo`."""
