"""The smallest model that says something: three irises."""
