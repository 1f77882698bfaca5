"""From data to a version in use, as one thing: retrain, evaluate, register, grey release."""
