"""What several benches share: load from h2load, rounds in turns, results."""
