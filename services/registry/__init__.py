"""The registry: what models exist, their immutable versions, and the artefacts that versions are made of."""
