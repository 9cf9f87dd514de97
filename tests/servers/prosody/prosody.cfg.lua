-- One configuration for Prosody 0.12 and 13, started by ../server: folders are bound under /srv, ports come from the environment.
local pki = "/srv/pki"

daemonize = false
pidfile = "/srv/run/prosody.pid"
data_path = "/srv/run/data"
admin_socket = "/srv/run/prosody.sock"
plugin_paths = { "/srv/fixture/prosody/plugins" }
log = { { levels = { min = "debug" }, to = "file", filename = "/srv/run/prosody.log", timestamps = "%H:%M:%S" } }

interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { ENV_EPODE_STARTTLS }
c2s_direct_tls_ports = { ENV_EPODE_DIRECT_TLS }
https_ports = { ENV_EPODE_HTTPS }
http_ports = { ENV_EPODE_HTTP }
s2s_ports = {}
s2s_direct_tls_ports = {}
component_ports = {}

-- Every TLS listener asks for a client certificate; the default is not to ask, on https too. lsec_continue lets a handshake with a bad
-- certificate finish, so that SASL refuses it with a reason. lsec_ignore_purpose, which 0.12 switches on, would check a client's
-- certificate for the purpose of a server and refuse one that is for clients only.
local ask = {
	certificate = pki .. "/server.crt";
	key = pki .. "/server.key";
	cafile = pki .. "/client-ca.crt";
	capath = false;
	verify = { "peer", "client_once" };
	verifyext = { "lsec_continue", lsec_ignore_purpose = false };
}
-- What tls-server-end-point is bound to (RFC 5929 §4.1). 13 can find it out itself, but then only the first STARTTLS stream gets it.
tls_server_end_point_hash = ENV_EPODE_END_POINT_HASH
ssl = ask
c2s_ssl = ask
c2s_direct_tls_ssl = ask
https_ssl = ask
c2s_require_encryption = true

modules_enabled = {
	"admin_socket", "blocklist", "bosh", "carbons", "csi_simple", "disco", "epode_ready", "mam", "offline", "pep", "ping", "private",
	"roster", "saslauth", "smacks", "time", "tls", "vcard4", "vcard_legacy", "version", "websocket",
}
-- Only a host that says so lets people register.
allow_registration = false
modules_disabled = { "s2s" }
archive_expires_after = "never"
-- Nobody's messages are kept unless the user asks for it: an archive of ten thousand is written anew with each further one.
default_archive_policy = false
http_host = "localhost"
consider_bosh_secure = false
consider_websocket_secure = false
bosh_max_inactivity = 60
bosh_max_wait = 60
-- A session whose link broke waits this long for a client to resume it.
smacks_hibernation_time = ENV_EPODE_RESUME + 0

-- Passwords kept in the clear, so that every SCRAM mechanism of the server is offered.
VirtualHost "localhost"
	authentication = "internal_plain"
	-- XEP-0156: only the community modules that come with Prosody 13 have it.
	modules_enabled = { ENV_EPODE_HOST_META_MODULE }

-- SASL EXTERNAL with the community's module: whoever the certificate names is logged in, whether or not the server knows the user.
VirtualHost "cert.localhost"
	authentication = "ccert"
	certificate_match = "xmppaddr"

-- The same, except that a user who is not listed is refused.
VirtualHost "certallow.localhost"
	authentication = "ccert"
	certificate_match = "xmppaddr"
	modules_enabled = { "epode_known_users" }
	epode_known_users = { "alice", "bob", "dave" }

-- SASL ANONYMOUS.
VirtualHost "anon.localhost"
	authentication = "anonymous"

-- In-band registration (XEP-0077). The servers listen on loopback only.
VirtualHost "register.localhost"
	authentication = "internal_plain"
	modules_enabled = { "register_ibr", "user_account_management" }
	allow_registration = true
	registration_throttle_max = 1000
	registration_throttle_period = 1

-- What only Prosody 13 can do: SASL2 of the community's modules hangs on 0.12, and certificate management does not load there.
if ENV_EPODE_MODERN then
	-- XEP-0388 with XEP-0386, inline XEP-0198, XEP-0484 and XEP-0474. A token is replaced at every login.
	VirtualHost "sasl2.localhost"
		authentication = "internal_plain"
		modules_enabled = { "sasl2", "sasl2_bind2", "sasl2_sm", "sasl2_fast", "sasl_ssdp" }
		sasl2_fast_token_min_ttl = 0

	-- The same without XEP-0474, whose module is wrong about what was offered once a token was refused on the same stream.
	VirtualHost "fast.localhost"
		authentication = "internal_plain"
		modules_enabled = { "sasl2", "sasl2_bind2", "sasl2_sm", "sasl2_fast" }
		sasl2_fast_token_min_ttl = 0

	-- XEP-0388 with EXTERNAL.
	VirtualHost "cert2.localhost"
		authentication = "ccert"
		certificate_match = "xmppaddr"
		modules_enabled = { "sasl2", "sasl2_bind2", "sasl2_sm" }

	-- XEP-0257: with a password a user adds a certificate, and logs in with it from then on.
	VirtualHost "certmgmt.localhost"
		authentication = "internal_plain"
		modules_enabled = { "epode_der2pem", "client_certs" }

	-- OAUTHBEARER, which 13 has where it keeps hashes instead of passwords, with a token that is made as the server starts.
	VirtualHost "oauth.localhost"
		authentication = "internal_hashed"
		modules_enabled = { "epode_oauth_token" }
end
