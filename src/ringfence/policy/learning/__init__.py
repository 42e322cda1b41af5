"""Learning: a least set of policies out of connections that were seen, with the proof that it is one."""
