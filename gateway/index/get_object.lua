-- uses:
-- The current version of an object. By far the most frequent script, and therefore without the shared parts, which
-- would double its time. KEYS: as for every script on a bucket. ARGV: key, the fields of the bucket to return.
local BUCKET, OBJECTS = KEYS[5], KEYS[6]
local key = ARGV[1]

local fields = redis.call('HMGET', BUCKET, unpack(ARGV, 2))
if not fields[1] then
  return { 'NoSuchBucket' }
end
local members = redis.call('ZRANGEBYLEX', OBJECTS, '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)
return { 'OK', fields, members[1] or false }
