-- KEYS: some buckets. ARGV: leases that ended and never come back.
-- Takes these leases away from every user there. Returns from how many, and then the users who
-- are nowhere else.
local ended = {}
for _, lease in ipairs(ARGV) do ended[lease] = true end
local swept, gone = 0, {}
for _, bucket in ipairs(KEYS) do
  local users = redis.pcall('HGETALL', bucket)
  -- A key that somebody else has put there holds nobody.
  if users.err then users = {} end
  for at = 1, #users, 2 do
    local kept, held = {}, 0
    for lease in string.gmatch(users[at + 1], '[^,]+') do
      held = held + 1
      if not ended[lease] then kept[#kept + 1] = lease end
    end
    if #kept == 0 then
      redis.call('HDEL', bucket, users[at])
      gone[#gone + 1] = users[at]
    elseif #kept < held then
      redis.call('HSET', bucket, users[at], table.concat(kept, ','))
    end
    if #kept < held then swept = swept + 1 end
  end
end
table.insert(gone, 1, swept)
return gone
