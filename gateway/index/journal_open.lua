-- uses:
-- The last step of a recovery: from here on this server's index is the one that clients see.
-- KEYS: journal, sequence, restored, pending, stream. ARGV: identity, incarnation, epoch, segment, watermark.
local JOURNAL, SEQUENCE, RESTORED, PENDING, STREAM = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local identity, incarnation, epoch, segment, watermark = unpack(ARGV)

local restored = redis.call('GET', RESTORED)
if restored then
  redis.call('SET', SEQUENCE, restored)
  redis.call('DEL', RESTORED, STREAM)
else
  redis.call('SETNX', SEQUENCE, watermark)
end
redis.call('HSET', JOURNAL, 'opened', identity, 'incarnation', incarnation, 'epoch', epoch, 'segment', segment,
  'watermark', watermark)
redis.call('ZREMRANGEBYSCORE', PENDING, '-inf', watermark)
return { tonumber(redis.call('GET', SEQUENCE)), 0 }
