"""Handwritten digits: two small networks, trained here, released one after the other under live traffic."""
