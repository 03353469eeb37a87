"""The event log, and the stream that its lines go to."""
