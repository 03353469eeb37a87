-- Entries that are in the books need not wait any more.
-- KEYS: as in the prelude. ARGV: tickets. Reply: how many of them were waiting.

local gone = 0
for _, ticket in ipairs(ARGV) do
  gone = gone + redis.call('XDEL', KEYS[3], ticket)
end
return gone
