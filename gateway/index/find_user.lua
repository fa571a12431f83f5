-- uses: prelude
-- KEYS[2]: users, KEYS[3]: names, addresses and access keys. ARGV: one of the latter.
local user_id = call('HGET', KEYS[3], ARGV[1])
return { 'OK', user_id and call('HGET', KEYS[2], user_id) or false }
