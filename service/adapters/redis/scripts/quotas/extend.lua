-- Give open holds a new lease; a hold that is not there is put back as sent, with what it set aside. Ended ones stay ended.
-- KEYS: as in the prelude. ARGV: lease in microseconds, then for every claim its entry's held_at (0: not known) and the claim
-- as in hold.lua. Reply: 1.

local lease, amounts = tonumber(ARGV[1]), {}
for place = 2, #ARGV, CLAIM + 1 do
  local claim = place + 1
  local hold = find(ARGV[claim])
  if hold.open then
    redis.call('ZADD', KEYS[2], whole(now + lease), ARGV[claim])
  elseif not hold.state then
    local held_at = tonumber(ARGV[place])
    if held_at == 0 then
      held_at = now
    end
    set_aside(amounts, held_at, claimed(claim), 1)
    put(claim, 'sent', held_at, now + lease)
  end
end
shift(amounts)
return 1
