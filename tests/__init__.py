"""A package of its own: distributions that bring a package `tests` along would be found before a folder."""
