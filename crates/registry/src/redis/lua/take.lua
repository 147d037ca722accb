-- KEYS: a bucket. ARGV: the interval of permits and how far ahead of an even spacing they may be taken, in µs, and how
-- many are taken.
-- The bucket holds when its whole burst is available again, in µs by the clock of Redis, and is gone by then.
-- Returns 0 if they were taken, else the time until they are available, in µs.
local each, ahead, permits = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = redis.pcall('GET', KEYS[1])
-- A key that somebody else has put there limits nobody.
full = type(full) == 'string' and tonumber(full) or now
-- The clock of Redis may have been set back: no more is used than the whole burst.
full = math.min(math.max(full, now), now + ahead + each)
local wait = full + (permits - 1) * each - ahead - now
if wait > 0 then
  return string.format('%.0f', wait)
end
full = full + permits * each
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.max(1, math.ceil((full - now) / 1000)))
return '0'
