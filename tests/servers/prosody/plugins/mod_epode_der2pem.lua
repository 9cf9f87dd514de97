-- Lets mod_client_certs of Prosody 13 read a certificate that a client uploads (XEP-0257): what it calls for that throws on Lua 5.4.
module:set_global();
local x509 = require "prosody.util.x509";
local base64 = require "prosody.util.encodings".base64;

function x509.der2pem(der, kind)
	kind = (kind or "certificate"):upper();
	local lines = {};
	local text = base64.encode(der);
	for first = 1, #text, 64 do
		table.insert(lines, text:sub(first, first + 63));
	end
	return ("-----BEGIN %s-----\n%s\n-----END %s-----\n"):format(kind, table.concat(lines, "\n"), kind);
end
