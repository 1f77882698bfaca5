"""Tests of the platform. A package, because one that we depend on installs a package of the same name."""
