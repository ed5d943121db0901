-- Makes wrk send the bytes of a file as its request, as they are:
--
--     wrk -s bench/wrk/request.lua http://127.0.0.1:8080/ -- FILE
--
-- The file holds a whole request, head and body. wrk asks wrk.format for the request once and keeps it, so that this costs
-- no Lua while it measures.

local request

function init(args)
   local file = assert(io.open(assert(args[1], "request.lua: no file named"), "rb"))
   request = file:read("*a")
   file:close()
end

function wrk.format()
   return request
end
