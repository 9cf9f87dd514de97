%% Evaluated by the starting node (see ../server): waits until ejabberd runs, adds the users, and says that it is ready.
spawn(fun() ->
    Wait = fun Again() ->
        case whereis(ejabberd_listener) =/= undefined andalso lists:keymember(ejabberd, 1, application:which_applications()) of
            true -> ok;
            false -> timer:sleep(50), Again()
        end
    end,
    Wait(),
    Passwords = [{<<"user0", (integer_to_binary(N))/binary>>, <<"localhost">>} || N <- lists:seq(1, 6)],
    Certificates = [{User, <<"cert.localhost">>} || User <- [<<"alice">>, <<"bob">>, <<"carol">>, <<"dave">>, <<"erin">>, <<"jürgen"/utf8>>]],
    % A server that was killed and started again has them already.
    [case ejabberd_auth:try_register(User, Host, <<"pw">>) of ok -> ok; {error, exists} -> ok end
        || {User, Host} <- Passwords ++ Certificates],
    % An access token for X-OAUTH2, for as long as any test runs.
    {Token, _, _} = ejabberd_oauth:oauth_issue_token("user01@localhost", 86400, "sasl_auth"),
    ok = file:write_file("/srv/run/access-token", Token),
    ok = file:write_file("/srv/run/ready", "ready\n")
end).
