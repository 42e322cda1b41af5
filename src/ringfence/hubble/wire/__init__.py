"""The messages of Hubble's API on the wire: our own minimal definitions, and the modules generated of them."""
