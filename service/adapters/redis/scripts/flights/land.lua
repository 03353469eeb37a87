-- The flight is over. Whoever landed it may say so again.
-- KEYS: as in the prelude. ARGV: owner, failure or '', milliseconds to remember it for. Reply: 1, or 0 with nothing done.

if not flight.own then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'landed', 'owner', ARGV[1], 'failure', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
