-- Puts a node's lease at users, or takes it away.
-- KEYS: the bucket of each user.
-- ARGV: the lease, the node's id, then for each user "1" or "0" and the user's id.
-- Returns for each user "+" if the lease was there already, then the other leases, with
-- commas between.
--
-- Whatever else this node has there is from an older lease of its own, and goes.
local lease, node = ARGV[1], ARGV[2]
local older = node .. '.'
local answer = {}
for at, bucket in ipairs(KEYS) do
  local on, user = ARGV[2 * at + 1] == '1', ARGV[2 * at + 2]
  local held = redis.pcall('HGET', bucket, user)
  if type(held) == 'table' then
    -- Somebody else has put something else there. Others must not suffer, and nothing of ours is in it.
    redis.call('DEL', bucket)
    held = false
  end
  local others, found = {}, ''
  for other in string.gmatch(held or '', '[^,]+') do
    if other == lease then
      found = '+'
    elseif other ~= node and string.sub(other, 1, #older) ~= older then
      others[#others + 1] = other
    end
  end
  answer[at] = found .. table.concat(others, ',')
  if on then
    others[#others + 1] = lease
  end
  local now = table.concat(others, ',')
  if now == '' then
    if held then redis.call('HDEL', bucket, user) end
  elseif now ~= held then
    redis.call('HSET', bucket, user, now)
  end
end
return answer
