"""Tests. A package, because a wheel that tests use for its data brings a package of this name, which would hide ours."""
