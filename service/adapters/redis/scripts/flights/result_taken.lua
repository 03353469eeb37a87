-- A caller that waited has read the result that was handed over. The last one ends the hand-over.
-- KEYS[1]: as in the prelude. KEYS[2] igw:{team}:handover-v1:<flight>  string: the packed result. Reply: how many are left.

local left = flight.state and redis.call('HINCRBY', KEYS[1], 'waiting', -1) or 0
if left <= 0 then
  redis.call('DEL', KEYS[2])
end
return left
