-- KEYS: the bucket of each user. ARGV: each user's id.
-- Returns for each user the leases of the nodes where they are, with commas between.
local answer = {}
for at, bucket in ipairs(KEYS) do
  local leases = redis.pcall('HGET', bucket, ARGV[at])
  -- A key that somebody else has put there holds nobody.
  answer[at] = type(leases) == 'string' and leases or ''
end
return answer
