-- uses: prelude
-- KEYS[2]: users, KEYS[3]: names, addresses and access keys. ARGV: user id, the revision that is replaced ('0' where
-- there must be none), record, how many names it had, those, the names it has.
local USERS, NAMES = KEYS[2], KEYS[3]
local user_id, revision, record, old_count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local present = call('HGET', USERS, user_id)
if present and revision == '0' then
  return { 'UserExists' }
elseif not present and revision ~= '0' then
  return { 'NoSuchUser' }
elseif present and whole(struct.unpack('>I8', present)) ~= revision then
  return { 'UserChanged' }
end
for at = 5 + old_count, #ARGV do
  local holder = call('HGET', NAMES, ARGV[at])
  if holder and holder ~= user_id then
    return { 'UserExists' }
  end
end

local change = new_change('put_user')
for at = 5, 4 + old_count do
  effect(change, 'HDEL', NAMES, ARGV[at])
end
for at = 5 + old_count, #ARGV do
  effect(change, 'HSET', NAMES, ARGV[at], user_id)
end
effect(change, 'HSET', USERS, user_id, struct.pack('>I8', change.sequence) .. record)
return { 'OK', commit_change(change) }
