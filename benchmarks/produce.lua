-- For wrk: POSTs unique messages; arguments are a run's own id, and messages per request (0: no batch).
-- Prints how many requests were answered, in how many microseconds, and how many went wrong.

local run, batch, sent

function init(args)
   run, batch, sent = args[1], tonumber(args[2]), 0
end

local function message()
   sent = sent + 1
   return string.format('{"id":"%s-%d","payload":{"order":%d}}', run, sent, sent)
end

function request()
   if batch == 0 then
      return wrk.format("POST", nil, nil, message())
   end
   local messages = {}
   for index = 1, batch do
      messages[index] = message()
   end
   return wrk.format("POST", nil, nil, '{"messages":[' .. table.concat(messages, ",") .. "]}")
end

wrk.headers["Content-Type"] = "application/json"

function done(summary)
   local errors = summary.errors
   io.write(string.format("RESULT %d %d %d\n", summary.requests, summary.duration,
      errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
