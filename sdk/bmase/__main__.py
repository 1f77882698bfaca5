"""`python -m bmase`: the command line."""

from __future__ import annotations

from bmase.cli.app import main

main()
