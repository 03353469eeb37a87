-- End holds whose lease is over: pending holds are voided, sent holds are posted with the entry of their request.
-- KEYS: as in the prelude. ARGV: maximum number of holds. Reply: the new states.

local states, amounts = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, ARGV[1])) do
  local hold = find(id)
  if not hold.open then
    redis.call('ZREM', KEYS[2], id)
  else
    local state = 'voided'
    give_back(amounts, hold)
    if hold.state == 'sent' then
      local request = redis.call('HMGET', hold_key(id), 'cost', 'booked', 'entry')
      post_entry(amounts, request[3], hold.held_at, request[2], tonumber(request[1]))
      state = 'expired'
    end
    finish(id, state)
    states[#states + 1] = state
  end
end
shift(amounts)
return states
