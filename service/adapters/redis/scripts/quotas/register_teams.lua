-- Make teams known to every replica.
-- KEYS[1]: igw:teams. ARGV: teams. Reply: all teams that were ever registered.

in_chunks('SADD', KEYS[1], ARGV)
return redis.call('SMEMBERS', KEYS[1])
