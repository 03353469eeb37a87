-- The flight is over. Whoever landed it may say so again.
-- KEYS: as in the prelude. ARGV: owner, failure or '', hollow result or '', microseconds for which everybody is told,
-- milliseconds to remember it for, '1' if the whole result was handed over. Reply: 1, or 0 with nothing done.

if not flight.own then
  return 0
end
local lease = whole(now + tonumber(ARGV[4]))
local waiting = redis.call('HGET', KEYS[1], 'waiting') or '0'
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'landed', 'owner', ARGV[1], 'mark', flight.mark, 'lease', lease,
  'failure', ARGV[2], 'result', ARGV[3], 'waiting', waiting, 'handed', ARGV[6],
  'landed', whole(now))
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
