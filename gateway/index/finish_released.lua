#!lua flags=allow-oom
-- uses: prelude
-- KEYS[3]: copies whose deletion has begun. ARGV: those that are gone.
local RELEASING = KEYS[3]
local change = new_change('finish_released')
for _, copy in ipairs(ARGV) do
  if call('ZSCORE', RELEASING, copy) then
    effect(change, 'ZREM', RELEASING, copy)
  end
end
if #change.effects > 0 then
  commit_change(change)
end
return { 'OK' }
