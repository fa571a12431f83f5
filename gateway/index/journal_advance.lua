-- uses:
-- Note how far the journal is durable, and forget what nobody waits for any more.
-- KEYS: journal, stream, pending. ARGV: epoch, watermark, how many durable entries stay in the stream.
local JOURNAL, STREAM, PENDING = KEYS[1], KEYS[2], KEYS[3]
local epoch, watermark, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

if redis.call('HGET', JOURNAL, 'epoch') ~= epoch then
  return { 0, 0 }
end
if watermark > tonumber(redis.call('HGET', JOURNAL, 'watermark') or 0) then
  redis.call('HSET', JOURNAL, 'watermark', string.format('%.0f', watermark))
  redis.call('ZREMRANGEBYSCORE', PENDING, '-inf', string.format('%.0f', watermark))
  -- What is kept lets a node that lagged catch up. The trimming is approximate, by whole blocks of the stream.
  redis.call('XTRIM', STREAM, 'MINID', '~', string.format('%.0f', math.max(0, watermark - kept)))
end
return { 1, 0 }
