"""The monitor: what the gateways count and sample, and the evidence on which a release is judged."""
