-- Copies the body of a sampled request, and of its answer, to where the log of pairs finds them. Pieces are copied as
-- they pass, nothing waits. "=..." is a body in base64, "?" one that is larger than LIMIT, which is written in front.

local function copy(handle, kind)
  local pieces, size = {}, 0
  for piece in handle:bodyChunks() do
    local length = piece:length()
    size = size + length
    if size > LIMIT then
      pieces = nil
      break
    end
    pieces[#pieces + 1] = piece:getBytes(0, length)
  end
  local said = pieces and "=" .. handle:base64Escape(table.concat(pieces)) or "?"
  handle:streamInfo():dynamicMetadata():set("bmase.pair", kind, said)
end

function envoy_on_request(handle)
  copy(handle, "request")
end

function envoy_on_response(handle)
  copy(handle, "response")
end
