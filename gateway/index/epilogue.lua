-- Stands behind every script that uses the prelude: its reply goes out with the number of the change that must be
-- durable before anybody hears of it, 0 where everything is.
if not sequence then
  return redis.error_reply('NOTOPEN this server holds no opened index')
end
local reply = script()
if committed then
  return { reply, committed }
elseif observed then
  return { reply, observed }
end
return { reply, tonumber(call('ZREVRANGE', PENDING, 0, 0, 'WITHSCORES')[2] or 0) }
