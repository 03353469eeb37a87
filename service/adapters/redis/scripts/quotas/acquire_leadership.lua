-- Become or stay the leader among the replicas.
-- KEYS[1]: igw:leader. ARGV: owner, milliseconds. Reply: 1 if it is the owner, else 0.

local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
