"""The engine as a local server: translation between HTTP and jobs, nothing else."""
