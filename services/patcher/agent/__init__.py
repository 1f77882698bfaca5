"""The agent beside each Triton: makes its node run what the patcher asks for, and says how far it is."""
