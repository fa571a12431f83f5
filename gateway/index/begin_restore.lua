-- uses:
-- Close the index to clients, and give the right to fill it to one recovery alone.
-- KEYS: journal, sequence, restored. ARGV: token, the epoch that the recovery began with ('' for any).
local JOURNAL, SEQUENCE, RESTORED = KEYS[1], KEYS[2], KEYS[3]
local token, old_epoch = ARGV[1], ARGV[2]

if old_epoch ~= '' and (redis.call('HGET', JOURNAL, 'epoch') or '0') ~= old_epoch then
  return redis.error_reply('NOTOPEN another recovery came first')
end
-- Without the sequence every script says NOTOPEN, also to those whose sockets are still open.
redis.call('DEL', SEQUENCE, RESTORED)
redis.call('HDEL', JOURNAL, 'opened')
redis.call('HSET', RESTORED, 'token', token, 'sequence', 0)
return { 1, 0 }
