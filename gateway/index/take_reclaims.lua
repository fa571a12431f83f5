#!lua flags=allow-oom
-- uses: prelude
-- Hand out what became unreferenced at least `grace_ms` ago, and again what was handed out `again_ms` ago and is
-- not finished. From here on an entry can no longer be undeleted. All times are this server's.
local RECLAIM, TRASH, RECLAIMING = KEYS[2], KEYS[3], KEYS[4]
local grace_ms, again_ms, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local now = now_ms()
local change = new_change('take_reclaims')
local entries = {}

local function take(references)
  for _, reference in ipairs(references) do
    effect(change, 'ZADD', RECLAIMING, whole(now), reference)
    local upper = successor(reference)
    local members = call('ZRANGEBYLEX', TRASH, '[' .. reference, '(' .. upper, 'LIMIT', 0, 1)
    entries[#entries + 1] = members[1]
  end
end

take(call('ZRANGEBYSCORE', RECLAIMING, '-inf', whole(now - again_ms), 'LIMIT', 0, limit))
local due = call('ZRANGEBYSCORE', RECLAIM, '-inf', whole(now - grace_ms), 'LIMIT', 0, limit - #entries)
for _, reference in ipairs(due) do
  effect(change, 'ZREM', RECLAIM, reference)
end
take(due)
if #change.effects > 0 then
  commit_change(change)
end
return { 'OK', entries }
