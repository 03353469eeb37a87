-- Mark pending holds as sent: all, or none if a hold has ended or is lost.
-- KEYS: as in the prelude. ARGV: ids. Reply: 1, or 0 with nothing done.

for _, id in ipairs(ARGV) do
  if not find(id).open then
    return 0
  end
end
for _, id in ipairs(ARGV) do
  redis.call('HSET', hold_key(id), 'state', 'sent')
end
return 1
