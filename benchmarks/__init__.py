"""Measurements beside peers: ratios in one run against nothing at all, an empty program and iptables."""
