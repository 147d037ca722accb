-- KEYS: the bucket of each user. ARGV: each user's id.
-- Returns for each user the leases of the nodes where they are, with commas between.
local answer = {}
for at, bucket in ipairs(KEYS) do
  answer[at] = redis.call('HGET', bucket, ARGV[at]) or ''
end
return answer
