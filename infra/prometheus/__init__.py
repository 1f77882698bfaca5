"""What Prometheus scrapes, records and alerts on, and where Alertmanager sends it."""
