"""Deployments: which version runs on which serving node, and the agents that make it so."""
