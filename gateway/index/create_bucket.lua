-- uses: prelude bucket
-- KEYS[8]: all buckets, KEYS[9]: buckets by owner, KEYS[10]: when this index began. ARGV[6]: the format of
-- the bucket's record; ARGV[7]: its versioning; behind it how many fields the bucket begins with, each with its
-- document, then the fields of the bucket to return.
local BUCKETS, OWNED, BORN = KEYS[8], KEYS[9], KEYS[10]
local name, owner, created_ms, region, limit, record_format, versioning = unpack(ARGV, 1, 7)
local last_config = 8 + 2 * tonumber(ARGV[8])

local present = read_bucket('')
if present then
  return { 'BucketExists', present.owner }
end
if call('ZLEXCOUNT', OWNED, '[' .. owner .. '\0', '(' .. owner .. '\1') >= tonumber(limit) then
  return { 'TooManyBuckets' }
end

local change = new_change('create_bucket')
touch(change, BUCKET)
effect(change, 'HSET', BUCKET, 'format', record_format, 'id', whole(change.sequence), 'owner', owner,
  'created_ms', created_ms, 'region', region, 'versioning', versioning, 'objects', '0', 'bytes', '0',
  unpack(ARGV, 9, last_config))
effect(change, 'ZADD', BUCKETS, 0, name)
effect(change, 'ZADD', OWNED, 0, owner .. '\0' .. name)
if call('EXISTS', BORN) == 0 then
  effect(change, 'SET', BORN, whole(now_ms()))
end
commit_change(change)
return { 'OK', call('HMGET', BUCKET, unpack(ARGV, last_config + 1)) }
