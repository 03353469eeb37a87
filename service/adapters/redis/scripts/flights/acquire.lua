-- Take a seat.
-- KEYS, ARGV: as in the prelude; KEYS[2]: a remembered failure, if one counts (see remember_failure.lua); ARGV[4]: mark, ARGV[5]:
-- which landings count: 'remembered', 'new' (of which everybody is told for a moment) or 'none'; ARGV[6]: '1' if a lost
-- flight may be led again, ARGV[7]: '1' if who waits is to be counted. Reply: 'lead' | 'wait' | 'lost' | 'landed', the
-- mark; if landed, also the failure and the hollow result, or '', '1' if the whole result was handed over, and '1' if it cost nothing.

local told = ARGV[5] == 'remembered' or (ARGV[5] == 'new' and flight.state == 'landed' and now < flight.lease)
if flight.state == 'landed' and told then
  local landing = redis.call('HMGET', KEYS[1], 'failure', 'result', 'handed', 'free')
  return { 'landed', flight.mark, landing[1] or '', landing[2] or '', landing[3] or '', landing[4] or '' }
end
local under_way = flight.state == 'open' or flight.state == 'sent'
if under_way and not flight.own then
  if now < flight.lease then
    if ARGV[7] == '1' then
      redis.call('HINCRBY', KEYS[1], 'waiting', 1)
    end
    return { 'wait', flight.mark }
  end
  if flight.state == 'sent' and ARGV[6] ~= '1' then
    return { 'lost', flight.mark }
  end
end
local goes_on = under_way and flight.own
local failure = not goes_on and KEYS[2] and redis.call('HGET', KEYS[2], 'failure')
if failure then
  return { 'landed', ARGV[4], failure, '', '', '' }
end
if not goes_on then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'mark', ARGV[4])
end
show_life(goes_on and flight.state or 'open')
return { 'lead', goes_on and flight.mark or ARGV[4] }
