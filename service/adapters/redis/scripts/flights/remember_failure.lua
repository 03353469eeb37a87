-- Keep a failure for identical requests.
-- KEYS[1] igw:{team}:failure-v1:<name>  hash: failure. ARGV: failure, milliseconds to remember it for. Reply: 1.

redis.call('HSET', KEYS[1], 'failure', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
