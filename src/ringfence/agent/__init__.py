"""The agent: the process that keeps the kernel at what the policies call for. All tasks run here and nowhere else."""
