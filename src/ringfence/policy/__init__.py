"""Policies: from the documents people write to the entries of the policy map, and what they mean by the book."""
