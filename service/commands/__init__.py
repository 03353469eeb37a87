"""Commands of `image-gateway`: running and checking a gateway, and keys, usage and the cache of its stores.

Rule: commands and the admin API share their use cases, so both have the same results and audit records. Commands on
stores need no running gateway.

Fails with: one line on standard error and exit code 2.
"""
