-- KEYS: the nodes. ARGV: what to do, the lease, its length in ms.
--   renew: only if it is there and has not ended
--   take:  in any case
--   leave: say goodbye, so that nobody takes it for lost
--   look:  nothing
-- Returns whether the lease is held, the leases that are held, those that ended, those that
-- said goodbye in the last minute, and the time of Redis in ms.
local nodes, verb, lease, length = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ends = tonumber(redis.call('ZSCORE', nodes, lease) or 0)

local held = ends > now
if verb == 'take' or (verb == 'renew' and held) then
  redis.call('ZADD', nodes, string.format('%.0f', now + length), lease)
  held = true
elseif verb == 'leave' then
  redis.call('ZREM', nodes, lease)
  redis.call('ZADD', nodes, string.format('%.0f', now), '-' .. lease)
  held = false
end

local alive = redis.call('ZRANGEBYSCORE', nodes, string.format('(%.0f', now), '+inf')
local ended, left = {}, {}
local over = redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('%.0f', now), 'WITHSCORES')
for at = 1, #over, 2 do
  local name = over[at]
  if string.sub(name, 1, 1) ~= '-' then
    ended[#ended + 1] = name
  elseif tonumber(over[at + 1]) < now - 60000 then
    redis.call('ZREM', nodes, name)
  else
    left[#left + 1] = string.sub(name, 2)
  end
end
return { held and 1 or 0, alive, ended, left, string.format('%.0f', now) }
