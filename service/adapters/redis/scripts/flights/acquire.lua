-- Take a role in a flight.
-- KEYS, ARGV: as in the prelude; KEYS[2]: a remembered failure, if failures count (see remember_failure.lua); ARGV[4]: digest
-- of the request; ARGV[5]: finished flights that count: 'remembered', 'new' (within the time for every caller) or 'none';
-- ARGV[6]: '1' if a lost flight may be led again; ARGV[7]: '1' if a caller that waits is counted.
-- Reply: 'lead' | 'wait' | 'lost' | 'landed', then the leader's digest; if landed, also the failure and the result without
-- images, or '', '1' if the whole result is shared, and '1' if it cost nothing.

local visible = ARGV[5] == 'remembered' or (ARGV[5] == 'new' and flight.state == 'landed' and now < flight.lease)
if flight.state == 'landed' and visible then
  local result = redis.call('HMGET', KEYS[1], 'failure', 'result', 'handed', 'free')
  return { 'landed', flight.digest, result[1] or '', result[2] or '', result[3] or '', result[4] or '' }
end
local under_way = flight.state == 'open' or flight.state == 'sent'
if under_way and not flight.own then
  if now < flight.lease then
    if ARGV[7] == '1' then
      redis.call('HINCRBY', KEYS[1], 'waiting', 1)
    end
    return { 'wait', flight.digest }
  end
  if flight.state == 'sent' and ARGV[6] ~= '1' then
    return { 'lost', flight.digest }
  end
end
local leads_already = under_way and flight.own
local failure = not leads_already and KEYS[2] and redis.call('HGET', KEYS[2], 'failure')
if failure then
  return { 'landed', ARGV[4], failure, '', '', '' }
end
if not leads_already then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'mark', ARGV[4])
end
extend_lease(leads_already and flight.state or 'open')
return { 'lead', leads_already and flight.digest or ARGV[4] }
