-- uses:
-- The current version of an object. By far the most frequent script, and therefore without the shared parts, which
-- would double its time. KEYS: as for every script on a bucket, then what is pending. ARGV: key, the fields of the
-- bucket to return. The reply has the shape that epilogue.lua gives to the others.
local SEQUENCE, BUCKET, OBJECTS, PENDING = KEYS[1], KEYS[5], KEYS[6], KEYS[8]
local key = ARGV[1]

if redis.call('EXISTS', SEQUENCE) == 0 then
  return redis.error_reply('NOTOPEN this server holds no opened index')
end
local fields = redis.call('HMGET', BUCKET, unpack(ARGV, 2))
local wait_for = 0
if redis.call('EXISTS', PENDING) == 1 then
  for _, subject in ipairs({ BUCKET, OBJECTS .. '\0' .. key }) do
    wait_for = math.max(wait_for, tonumber(redis.call('ZSCORE', PENDING, subject) or 0))
  end
end
if not fields[1] then
  return { { 'NoSuchBucket' }, wait_for }
end
local members = redis.call('ZRANGEBYLEX', OBJECTS, '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)
return { { 'OK', fields, members[1] or false }, wait_for }
