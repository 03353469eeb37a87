-- Which flight a wish goes by.
-- KEYS[1] igw:{team}:wish:<name>  hash: flight, the one last named for it.
-- ARGV: flight, '1' if the wish is made again, milliseconds to remember it for. Reply: the flight.

local named = ARGV[2] == '1' and redis.call('HGET', KEYS[1], 'flight')
if named then
  return named
end
redis.call('HSET', KEYS[1], 'flight', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return ARGV[1]
