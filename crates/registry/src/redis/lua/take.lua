-- KEYS: a bucket. ARGV: the interval of permits and how far ahead of an even spacing they may be taken, in µs, and how
-- many are taken.
-- The bucket holds when its whole burst is available again, in µs by the clock of Redis, and is gone by then.
-- Returns 0 if they were taken, else the time until they are available, in µs.
local each, ahead, permits = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stored = redis.pcall('GET', KEYS[1])
-- What somebody else has put there limits nobody: digits alone, since `inf`, `nan` and `0x7f` are numbers, too.
local is_ours = type(stored) == 'string' and #stored < 18 and string.find(stored, '^%d+$')
local known = is_ours and tonumber(stored) or now
-- The clock of Redis may have been set back: no more is used than the whole burst.
local full = math.min(math.max(known, now), now + ahead + each)
local wait = full + (permits - 1) * each - ahead - now
if wait <= 0 then
  full = full + permits * each
elseif full == known then
  return string.format('%.0f', wait)
end
-- Also when it refuses: else it would, until the clock has caught up.
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.max(1, math.ceil((full - now) / 1000)))
return string.format('%.0f', math.max(0, wait))
