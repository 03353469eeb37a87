-- End a hold that was certainly not billed. One that is not there is remembered as voided, so that a renewal of its lease
-- that is still on its way does not bring it back.
-- KEYS: as in the prelude. ARGV: id. Reply: the state it is in now.

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
