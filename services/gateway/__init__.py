"""The gateway: where inference requests go. Envoy carries them, this program tells it how."""
