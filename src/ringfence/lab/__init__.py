"""A lab: Kubernetes manifests made into network namespaces on this host, so that policies meet real packets.

A namespace of its own plays the node; every pod is a namespace with one interface, whose host side the node holds.
"""
