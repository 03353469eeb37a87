-- The vendor is about to be asked.
-- KEYS, ARGV: as in the prelude. Reply: 1, or 0 with nothing done: somebody else leads, or nobody.

if not led() then
  return 0
end
show_life('sent')
return 1
