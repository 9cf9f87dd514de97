-- Refuses a certificate for a user that the host does not list: mod_auth_ccert takes any local part that the authority signed.
local known = module:get_option_set("epode_known_users", {});
local provider = prosody.hosts[module.host].users;
local make_handler = provider.get_sasl_handler;

function provider.get_sasl_handler(session)
	local handler = make_handler(session);
	local identify = handler.profile and handler.profile.external;
	if identify then
		function handler.profile.external(authzid)
			local user, state = identify(authzid);
			if user and not known:contains(user) then
				return nil; -- the SASL library answers not-authorized
			end
			return user, state;
		end
	end
	return handler;
end
