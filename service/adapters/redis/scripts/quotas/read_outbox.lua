-- Read entries on their way to the ledger, oldest first.
-- KEYS: as in the prelude. ARGV: maximum number of entries. Reply: outbox id and fields of each.

return redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', ARGV[1])
