"""The recipe "ensemble": several versions as one, with weights that held-out rows justify."""
