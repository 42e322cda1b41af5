"""Ringfence decides, in the Linux kernel, which workload may talk to which, and says why for every packet."""

__version__ = "0.1.0"
