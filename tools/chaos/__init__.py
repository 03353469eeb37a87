"""What happens to money when things are killed: `python -m tools.chaos` prints the figures of docs/reliability.md."""
