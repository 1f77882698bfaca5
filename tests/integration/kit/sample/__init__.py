"""A service's package with migrations, for the tests of the database."""
