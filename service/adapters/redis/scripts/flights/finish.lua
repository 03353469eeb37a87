-- The flight is over. Whoever landed it may say so again.
-- KEYS: as in the prelude. ARGV: owner, failure or '', hollow result or '', microseconds for which everybody is told,
-- milliseconds to remember it for, '1' if the whole result was handed over, how many landings that cost nothing are
-- remembered. KEYS[2], if this is one: igw:{team}:free-v1  list: the keys of those flights, the oldest first. Reply: 1, or 0
-- with nothing done.

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
if KEYS[2] then
  redis.call('HSET', KEYS[1], 'free', '1')
  local remembered = redis.call('RPUSH', KEYS[2], KEYS[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  while remembered > tonumber(ARGV[7]) do
    local oldest = redis.call('LPOP', KEYS[2])
    remembered = remembered - 1
    if oldest ~= KEYS[1] and redis.call('HGET', oldest, 'free') == '1' then  -- it may have been led and paid for since
      redis.call('DEL', oldest)
    end
  end
end
return 1
