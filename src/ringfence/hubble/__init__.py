"""Hubble's API over what Ringfence sees: observer.Observer and the health service, for stock Hubble clients."""
