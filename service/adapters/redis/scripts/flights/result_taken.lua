-- Note that a waiting caller has read the shared result. The last caller's call deletes it.
-- KEYS[1]: as in the prelude. KEYS[2] igw:{team}:handover-v1:<flight>  string: the encoded result. Reply: callers left.

local left = flight.state and redis.call('HINCRBY', KEYS[1], 'waiting', -1) or 0
if left <= 0 then
  redis.call('DEL', KEYS[2])
end
return left
