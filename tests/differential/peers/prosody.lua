-- Prosody's SASL library and its community modules as the server: HT-SHA-256-*, OAUTHBEARER. They run outside of Prosody, on its own
-- util.sasl, with the few things of a host that they ask for. Argument: the folder that holds `util` and `modules`.
local root = assert(arg[1], "usage: prosody.lua FOLDER");
package.path = root .. "/?.lua;" .. package.path;
package.cpath = root .. "/?.so;" .. package.cpath;

local sasl = require "util.sasl";
local hex = require "util.hex";

local HOST = "localhost";
local CLIENT = "d4565fa7-4d72-4749-b3d3-740edbf87770";
-- What the store holds: one token.
local token, token_of;

local store = { remove = {} };
function store:get(username, key)
	if username == token_of and key:sub(-4) == "-cur" then return token; end
end
function store:set() return true; end
function store:set_keys() return true; end

local module = { host = HOST, _log = function() end };
function module:depends() end
function module:hook() end
function module:hook_tag() end
function module:get_option_number(_, default) return default; end
function module:open_store() return store; end

local function load_module(name)
	local env = setmetatable({ module = module }, { __index = _G });
	local path = root .. "/modules/mod_" .. name .. "/mod_" .. name .. ".lua";
	assert(loadfile(path, "t", env))();
	return env;
end
local fast = load_module("sasl2_fast");
load_module("sasl_oauthbearer");

local function begin(mechanism, fields)
	local handler;
	if mechanism:sub(1, 3) == "HT-" then
		token_of = fields.user;
		token = { mechanism = mechanism, secret = fields.token, issued_at = os.time(), expires_at = os.time() + 3600 };
		handler = fast.get_sasl_handler();
		handler.client_id = CLIENT;
		if fields["cb-type"] then
			handler.profile.cb = { [fields["cb-type"]] = function() return fields["cb-data"]; end };
		end
	else
		handler = sasl.new(HOST, {
			nodeprep = false;
			oauthbearer = function(_, username, given)
				return username == fields.user and given == fields.token, true;
			end;
		});
	end
	return handler:select(mechanism) and handler;
end

-- "-" is no message at all, "=" one of no bytes.
local function written(bytes)
	if not bytes then return "-"; end
	return bytes == "" and "=" or hex.to(bytes);
end
local function read(text)
	if text == "-" then return nil; end
	return text == "=" and "" or hex.from(text);
end

io.stdout:setvbuf("line");
local handler;
for line in io.lines() do
	local word, rest = line:match("^(%l+) (.*)$");
	if word == "begin" then
		local mechanism = rest:match("^%S+");
		local fields = {};
		for name, value in rest:gmatch("([%w-]+)=(%x*)") do fields[name] = hex.from(value); end
		handler = begin(mechanism, fields);
		print(handler and "ready -" or "failure " .. hex.to("no such mechanism"));
	elseif word == "step" then
		local result, data = handler:process(read(rest));
		if result == "failure" then
			print("failure " .. hex.to(data or "failure"));
		else
			print(result .. " " .. written(data) .. (handler.username and " user=" .. hex.to(handler.username) or ""));
		end
	else
		error("an unknown word");
	end
end
