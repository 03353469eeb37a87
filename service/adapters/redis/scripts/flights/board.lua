-- Take a seat.
-- KEYS, ARGV: as in the prelude; ARGV[4]: mark, ARGV[5]: '1' if a landing counts for as long as it is remembered,
-- ARGV[6]: '1' if a lost flight may be led again. Reply: 'lead' | 'wait' | 'lost' | 'landed', the mark; if landed, also
-- the failure and the hollow result, or ''.

if flight.state == 'landed' and (ARGV[5] == '1' or now < flight.lease) then
  local landing = redis.call('HMGET', KEYS[1], 'failure', 'result')
  return { 'landed', flight.mark, landing[1] or '', landing[2] or '' }
end
local under_way = flight.state == 'open' or flight.state == 'sent'
if under_way and not flight.own then
  if now < flight.lease then
    return { 'wait', flight.mark }
  end
  if flight.state == 'sent' and ARGV[6] ~= '1' then
    return { 'lost', flight.mark }
  end
end
local goes_on = under_way and flight.own
if not goes_on then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'mark', ARGV[4])
end
show_life(goes_on and flight.state or 'open')
return { 'lead', goes_on and flight.mark or ARGV[4] }
