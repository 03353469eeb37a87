"""Where the gateway's CPU goes, by a sampling profiler; `make flames` runs it."""
