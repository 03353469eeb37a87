"""What happens to money when things are killed: `python -m tests.chaos` prints the figures of docs/reliability.md."""
