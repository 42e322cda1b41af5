"""Metrics: what the agent tells Prometheus."""
