"""Explanations: why a packet is allowed or denied, and what nearly made it otherwise."""
