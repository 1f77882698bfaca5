"""Kept requests and answers: what of them is kept, where, for how long, and how they are found again."""
