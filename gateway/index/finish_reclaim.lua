#!lua flags=allow-oom
-- uses: prelude
-- KEYS from the fifth on: keys that belong to the entry alone.
local TRASH, RECLAIMING = KEYS[3], KEYS[4]
local reference = ARGV[1]

if not call('ZSCORE', RECLAIMING, reference) then
  return { 'OK', 0 }
end
local change = new_change('finish_reclaim')
effect(change, 'ZREM', RECLAIMING, reference)
effect(change, 'ZREMRANGEBYLEX', TRASH, '[' .. reference, '(' .. successor(reference))
for at = 5, #KEYS do
  effect(change, 'UNLINK', KEYS[at])
end
commit_change(change)
return { 'OK', 1 }
