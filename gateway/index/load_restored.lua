-- uses:
-- Execute one command of a restore, unless it comes late: another began one since, or the index was opened.
-- KEYS: restored. ARGV: token, command, arguments.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
  return redis.error_reply('NOTOPEN another recovery came first, or this server was emptied meanwhile')
end
redis.call(unpack(ARGV, 2))
return { 1, 0 }
