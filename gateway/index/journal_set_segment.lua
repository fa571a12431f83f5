-- uses:
-- Go on in another segment. KEYS: journal. ARGV: the epoch that ends, the new one, its segment.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return { 0, 0 }
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'segment', ARGV[3])
return { 1, 0 }
