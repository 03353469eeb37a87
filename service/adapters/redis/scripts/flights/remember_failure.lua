-- Remember a failure for identical requests.
-- KEYS[1] igw:{team}:failure-v1:<name>  hash: failure. ARGV: failure, milliseconds until it is forgotten. Reply: 1.

redis.call('HSET', KEYS[1], 'failure', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
