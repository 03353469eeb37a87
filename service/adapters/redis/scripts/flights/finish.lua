-- Finish a flight. Its leader may repeat the call.
-- KEYS: as in the prelude; KEYS[2], if the result cost nothing: igw:{team}:free-v1  list: keys of such flights, oldest first.
-- ARGV: owner, failure or '', result without images or '', microseconds in which every caller gets the result, milliseconds
-- until the flight is forgotten, '1' if the whole result is shared, maximum number of remembered results that cost nothing.
-- Reply: 1, or 0 with nothing done.

if not flight.own then
  return 0
end
local lease = whole(now + tonumber(ARGV[4]))
local waiting = redis.call('HGET', KEYS[1], 'waiting') or '0'
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'state', 'landed', 'owner', ARGV[1], 'mark', flight.digest, 'lease', lease,
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
    if oldest ~= KEYS[1] and redis.call('HGET', oldest, 'free') == '1' then  -- a later leader may have paid for it
      redis.call('DEL', oldest)
    end
  end
end
return 1
