-- End a hold that was certainly not billed. A lost hold is remembered as voided, so that a late extension of its lease does
-- not put it back.
-- KEYS: as in the prelude. ARGV: id. Reply: the hold's state now.

local hold, amounts = find(ARGV[1]), {}
if hold.state and not hold.open then
  return hold.state
end
if hold.open then
  give_back(amounts, hold)
  shift(amounts)
end
finish(ARGV[1], 'voided')
return 'voided'
