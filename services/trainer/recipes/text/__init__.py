"""Text classification: a transformer encoder from a folder, fine-tuned."""
