-- Names, in the header x-bmase-model, the entry of the route table that a request belongs to:
--   model, model/3            gRPC, without and with an explicit version
--   /model, /model/3          HTTP v2
--   ?                         no name that a model can have
-- Whatever a client sent under that name was taken away before any of this runs.

local byte, find, match, sub = string.byte, string.find, string.match, string.sub

local MODEL = "x-bmase-model"
local MAX_NAME = 63

local function key(model, version)
  if #model > MAX_NAME or not find(model, "^[a-z0-9][a-z0-9._-]*$") then return "?" end
  if version == "" then return model end
  if #version > 10 or not find(version, "^[1-9]%d*$") then return model .. "/?" end
  return model .. "/" .. version
end
