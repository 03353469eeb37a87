"""The HTTP surface: Litestar handlers that read requests and write replies, and nothing else."""
