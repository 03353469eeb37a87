-- Entries on their way to the books, oldest first.
-- KEYS: as in the prelude. ARGV: how many at most. Reply: ticket and fields of each.

return redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', ARGV[1])
