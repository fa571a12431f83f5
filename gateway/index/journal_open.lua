-- uses:
-- The last step of a recovery: from here on this server's index is the one that clients see.
-- KEYS: journal, sequence, restored, pending, stream. ARGV: identity, incarnation, epoch, segment, watermark, the epoch
-- that the recovery began with ('' for any), the token with which it restored ('' for any).
local JOURNAL, SEQUENCE, RESTORED, PENDING, STREAM = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local identity, incarnation, epoch, segment, watermark, old_epoch, token = unpack(ARGV)

if old_epoch ~= '' and (redis.call('HGET', JOURNAL, 'epoch') or '0') ~= old_epoch then
  return { 0, 0 }
end

local restored, restored_by = unpack(redis.call('HMGET', RESTORED, 'sequence', 'token'))
if restored and token ~= '' and restored_by ~= token then
  return { 0, 0 }
end
if tonumber(restored or redis.call('GET', SEQUENCE) or 0) < tonumber(watermark) then
  return redis.error_reply('NOTOPEN this server was emptied while the index was brought up on it')
end
if restored then
  redis.call('SET', SEQUENCE, restored)
  redis.call('DEL', RESTORED, STREAM)
else
  redis.call('SETNX', SEQUENCE, watermark)
end
redis.call('HSET', JOURNAL, 'opened', identity, 'incarnation', incarnation, 'epoch', epoch, 'segment', segment,
  'watermark', watermark)
redis.call('ZREMRANGEBYSCORE', PENDING, '-inf', watermark)
return { 1, 0 }
