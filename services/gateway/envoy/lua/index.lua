-- The index of models has a variant with only what is ready. In gRPC that flag is a field of its own, the last one.

function envoy_on_request(handle)
  local body = handle:body()
  local size = body and body:length() or 0
  local text = size > 0 and body:getBytes(0, size < 4096 and size or 4096) or ""
  local ready = find(text, "\16\1$") or find(text, '"ready"%s*:%s*true')
  handle:headers():replace("x-bmase-index", ready and "ready" or "all")
end
