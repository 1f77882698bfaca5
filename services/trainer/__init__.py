"""The trainer: how versions are made, and what is known of them."""
