"""Identities: the numbers that stand for sets of labels, and which addresses have which."""
