-- Writes a file once every host is loaded: the ports open more than a second before that.
module:set_global();

module:hook("server-started", function ()
	local file = assert(io.open("/srv/run/ready", "w"));
	file:write("ready\n");
	file:close();
end);
