"""The log of events, and the writer of its lines."""
