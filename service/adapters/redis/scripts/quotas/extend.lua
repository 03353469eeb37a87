-- Give open holds a new lease. A lost hold is put back as sent, with its amounts. An ended hold stays ended.
-- KEYS: as in the prelude. ARGV: lease in microseconds, then for every hold request its entry's held_at (0: not known) and the
-- request as in hold.lua. Reply: 1.

local lease, amounts = tonumber(ARGV[1]), {}
for place = 2, #ARGV, HOLD_REQUEST + 1 do
  local first = place + 1
  local hold = find(ARGV[first])
  if hold.open then
    redis.call('ZADD', KEYS[2], whole(now + lease), ARGV[first])
  elseif not hold.state then
    local held_at = tonumber(ARGV[place])
    if held_at == 0 then
      held_at = now
    end
    set_aside(amounts, held_at, requested(first), 1)
    put(first, 'sent', held_at, now + lease)
  end
end
shift(amounts)
return 1
