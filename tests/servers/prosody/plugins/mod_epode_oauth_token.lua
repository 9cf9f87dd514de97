-- Makes an access token for user01 as the server starts, and leaves it in a file for the tests.
local tokens = module:depends("tokenauth");
local account = "user01@" .. module.host;

-- Before mod_epode_ready says that all is there.
module:hook_global("server-started", function ()
	local grant = assert(tokens.create_grant(account, account));
	local token = assert(tokens.create_token(account, grant, nil, nil, "oauth2"));
	local file = assert(io.open("/srv/run/access-token", "w"));
	file:write(token);
	file:close();
end, 10);
