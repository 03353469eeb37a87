-- Mark a flight as sent: its leader is about to call a vendor.
-- KEYS, ARGV: as in the prelude. Reply: 1, or 0 with nothing done: the owner does not lead.

if not led() then
  return 0
end
extend_lease('sent')
return 1
