"""The only place that talks to the kernel: BPF objects, maps, links, the event ring, interfaces."""
