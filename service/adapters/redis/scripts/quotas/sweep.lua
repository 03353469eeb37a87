-- End holds whose lease is over: pending ones are voided, sent ones booked with the entry that their claim came with.
-- KEYS: as in the prelude. ARGV: how many at most. Reply: the new states.

local states, amounts = {}, {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now), 'LIMIT', 0, ARGV[1])) do
  local hold = find(id)
  if not hold.open then
    redis.call('ZREM', KEYS[2], id)
  else
    local state = 'voided'
    give_back(amounts, hold)
    if hold.state == 'sent' then
      local claim = redis.call('HMGET', hold_key(id), 'cost', 'booked', 'entry')
      book(amounts, claim[3], hold.held_at, claim[2], tonumber(claim[1]))
      state = 'expired'
    end
    finish(id, state)
    states[#states + 1] = state
  end
end
shift(amounts)
return states
