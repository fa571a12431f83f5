#!lua flags=allow-oom
-- uses: prelude
-- KEYS[2]: users, KEYS[3]: names, addresses and access keys, KEYS[4]: buckets by owner. ARGV: user id, revision, the
-- names it has.
local USERS, NAMES, OWNED = KEYS[2], KEYS[3], KEYS[4]
local user_id, revision = ARGV[1], ARGV[2]

local present = call('HGET', USERS, user_id)
if not present then
  return { 'NoSuchUser' }
elseif whole(struct.unpack('>I8', present)) ~= revision then
  return { 'UserChanged' }
elseif call('ZLEXCOUNT', OWNED, '[' .. user_id .. '\0', '(' .. user_id .. '\1') > 0 then
  return { 'UserOwnsBuckets' }
end

local change = new_change('remove_user')
for at = 3, #ARGV do
  effect(change, 'HDEL', NAMES, ARGV[at])
end
effect(change, 'HDEL', USERS, user_id)
return { 'OK', commit_change(change) }
