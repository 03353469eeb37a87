"""The commands of platform teams: keys, usage and the cache, straight from the stores that the gateway uses.

Rule: a command says the same as the admin API, by the same use cases, and leaves the same audit records. The gateway
need not be running. What is wrong is one line on standard error and exit code 2.
"""
