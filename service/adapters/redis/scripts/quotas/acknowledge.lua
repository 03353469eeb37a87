-- Delete entries from the outbox that are in the ledger.
-- KEYS: as in the prelude. ARGV: ids in the outbox. Reply: number of deleted entries.

local deleted = 0
for _, outbox_id in ipairs(ARGV) do
  deleted = deleted + redis.call('XDEL', KEYS[3], outbox_id)
end
return deleted
