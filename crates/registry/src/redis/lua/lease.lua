-- KEYS: the nodes, the fleet. ARGV: what to do, the lease, its length in ms, the wait of a newcomer
-- in ms, then names and values that all nodes of a fleet have in common.
--   claim: record the fleet, unless nodes of earlier versions are there that record none
--   renew: only if it is there and has not ended
--   take:  if the wait is over
--   leave: say goodbye, so that nobody takes it for lost
--   look:  nothing
-- While other nodes hold leases, nobody takes or renews one whose fleet is recorded with other
-- values. Once they hold none, their record is replaced.
-- `token-keys` is a list: nodes have one of them in common, and each adds its own, so that keys can
-- be changed while nodes run.
-- Redis may have lost the leases of a fleet that is alive. So a newcomer takes the first lease only
-- when its fleet has been recorded for the length of the wait, and replaces no younger record. A
-- fleet that held the prefix has a wait of 0, and replaces the record of a newcomer.
-- Returns whether the lease is held, the leases that are held, those that ended, those that said
-- goodbye in the last minute, the time of Redis in ms, names and values of the record that differ,
-- whether the fleet is recorded, the rest of the wait in ms, and since when the fleet is recorded.
local nodes, fleet, verb, lease, length = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local wait, names = tonumber(ARGV[4]), 5
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- The clock of Redis was set back: a lost node would hold its lease until the clock has caught up, and one that
-- said goodbye would be taken for alive.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', nodes, string.format('(%.0f', now + length), '+inf')) do
  local latest = string.sub(name, 1, 1) == '-' and now or now + length
  redis.call('ZADD', nodes, string.format('%.0f', latest), name)
end
local ends = tonumber(redis.call('ZSCORE', nodes, lease) or 0)
local held = ends > now

local own, others = string.match(lease, '^[^.]*'), false
for _, name in ipairs(redis.call('ZRANGEBYSCORE', nodes, string.format('(%.0f', now), '+inf')) do
  others = others or string.match(name, '^[^.]*') ~= own
end
local function merged(found, value)
  local known, common, list = {}, false, found
  for key in string.gmatch(found, '[^,]+') do known[key] = true end
  for key in string.gmatch(value, '[^,]+') do
    if known[key] then common = true else list = list .. ',' .. key end
  end
  return common and list
end

local differs, missing, recorded = {}, {}, false
for at = names, #ARGV, 2 do
  local name, value = ARGV[at], ARGV[at + 1]
  local found = redis.call('HGET', fleet, name)
  recorded = recorded or found
  if not found then
    missing[#missing + 1] = name
    missing[#missing + 1] = value
  elseif name == 'token-keys' and merged(found, value) then
    local list = merged(found, value)
    if list ~= found then
      missing[#missing + 1] = name
      missing[#missing + 1] = list
    end
  elseif found ~= value then
    differs[#differs + 1] = name
    differs[#differs + 1] = found
  end
end

local function rest()
  if others then return 0 end
  local claimed = tonumber(redis.call('HGET', fleet, 'claimed') or 0)
  if claimed > now then
    -- The clock of Redis was set back: the wait begins anew, and passes.
    claimed = now
    redis.call('HSET', fleet, 'claimed', string.format('%.0f', now))
  end
  return math.max(0, claimed + wait - now)
end

local joins = verb == 'take' or (verb == 'renew' and held) or (verb == 'claim' and (recorded or not others))
if joins and #differs > 0 then
  if others or rest() > 0 then
    joins, held = false, false
  else
    redis.call('DEL', fleet)
    recorded, missing, differs = false, {}, {}
    for at = names, #ARGV do missing[#missing + 1] = ARGV[at] end
  end
end
if joins then
  if not recorded then
    missing[#missing + 1] = 'claimed'
    missing[#missing + 1] = string.format('%.0f', now)
  end
  if #missing > 0 then redis.call('HSET', fleet, unpack(missing)) end
  recorded = true
  if verb == 'renew' or (verb == 'take' and rest() == 0) then
    redis.call('ZADD', nodes, string.format('%.0f', now + length), lease)
    held = true
  end
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
return {
  held and 1 or 0, alive, ended, left, string.format('%.0f', now), differs, recorded and 1 or 0, rest(),
  redis.call('HGET', fleet, 'claimed') or '0'
}
