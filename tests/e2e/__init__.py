"""The gateway as a process, called over HTTP by real clients."""
