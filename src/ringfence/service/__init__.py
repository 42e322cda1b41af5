"""Services: from manifests to frontends and the backends that each leads to. No I/O."""
