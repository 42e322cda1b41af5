"""Commits: what was changed, by whom and why, kept in a log; and the ways back to what was before."""
