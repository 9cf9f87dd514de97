//! What a login needs of its host, through C: keys, tasks, tokens, channel bindings, and the policy that chooses a mechanism.

#[cfg(test)]
mod tests {
    use std::mem;
    use std::ptr::{null, null_mut};

    use epode_c::client::*;
    use epode_c::code::*;
    use epode_c::config::*;
    use epode_c::derivation::*;
    use epode_c::host::*;
    use epode_c::input::*;
    use epode_c::login::*;
    use epode_c::output::{DeriveKey, Output, epode_next};
    use epode_c::slice::Slice;

    const ABSENT: Slice = Slice { data: null(), len: 0 };
    const SEED: [u8; 32] = [7; 32];
    const URL: &str = "wss://example.org/ws";
    const SALT: &[u8] = b"a salt of sixteen";

    /// PBKDF2-HMAC-SHA-256 of `pencil` with that salt and 4096 iterations, by Python's `hashlib`.
    const SALTED: [u8; 32] = [
        0xde, 0x83, 0x9d, 0x7f, 0x30, 0x2a, 0x69, 0x48, 0x1b, 0xba, 0xe9, 0xdc, 0xa5, 0x3f, 0x3c, 0x92, 0xc8, 0xb0,
        0xab, 0xed, 0xdf, 0x2c, 0x54, 0x1f, 0x94, 0xd3, 0xd7, 0x07, 0x58, 0xd4, 0x28, 0x96,
    ];

    fn slice<T: AsRef<[u8]> + ?Sized>(bytes: &T) -> Slice {
        let bytes = bytes.as_ref();
        Slice {
            data: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    fn bytes(slice: Slice) -> Vec<u8> {
        assert!(!slice.data.is_null());
        // SAFETY: every slice that is read here is still valid.
        unsafe { std::slice::from_raw_parts(slice.data, slice.len) }.to_vec()
    }

    fn text(slice: Slice) -> String {
        String::from_utf8(bytes(slice)).unwrap()
    }

    fn config(jid: &str, set: impl FnOnce(*mut Config) -> Vec<u32>) -> *mut Config {
        let mut config = null_mut();
        // SAFETY: the handle lives, and the slices do until each call is over.
        unsafe {
            assert_eq!(epode_config_new(slice(jid), &raw mut config), EPODE_OK);
            assert_eq!(epode_config_add_websocket(config, slice(URL)), EPODE_OK);
        }
        let codes = set(config);
        assert!(codes.iter().all(|code| *code == EPODE_OK), "{codes:?}");
        config
    }

    fn client(set: impl FnOnce(*mut Config) -> Vec<u32>) -> *mut Client {
        let config = config("user@example.org", set);
        let mut client = null_mut();
        // SAFETY: the handles live.
        unsafe {
            assert_eq!(epode_client_new(config, SEED.as_ptr(), &raw mut client), EPODE_OK);
            epode_config_free(config);
        }
        client
    }

    fn by_password(config: *mut Config) -> u32 {
        // SAFETY: the handle lives, and the slice does until the call is over.
        unsafe { epode_config_set_password(config, slice("pencil")) }
    }

    fn next(client: *mut Client) -> Output {
        // SAFETY: numbers, booleans and slices may be zero; both live.
        unsafe {
            let mut output: Output = mem::zeroed();
            output.struct_size = u32::try_from(size_of::<Output>()).unwrap();
            assert_eq!(epode_next(client, &raw mut output), EPODE_OK);
            output
        }
    }

    /// The next output of that kind; those before it are nobody's business.
    fn until(client: *mut Client, kind: u32) -> Output {
        loop {
            let output = next(client);
            if output.kind == kind {
                return output;
            }
            assert_ne!(output.kind, EPODE_NONE, "no output of kind {kind}");
        }
    }

    fn frame(client: *mut Client) -> String {
        // SAFETY: which member of the union is read, the kind says.
        text(unsafe { until(client, EPODE_FRAME).data.frame.text })
    }

    fn says(client: *mut Client, xml: &str) {
        // SAFETY: the handle lives, and the slice does until the call is over.
        assert_eq!(unsafe { epode_received(client, 2, 1, slice(xml)) }, EPODE_OK);
    }

    /// A link that is up, whose server offers `features`.
    fn login_with(client: *mut Client, features: &str, bind: impl FnOnce(&mut LinkInfo)) {
        // SAFETY: the handle lives; numbers and slices may be zero.
        unsafe {
            assert_eq!(epode_start(client, 0), EPODE_OK);
            assert_eq!(until(client, EPODE_CONNECT).data.connect.link, 1);
            let mut info: LinkInfo = mem::zeroed();
            info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            (info.encrypted, info.verified) = (1, EPODE_VERIFIED_HOST);
            (info.verified_name, info.subprotocol) = (slice("example.org"), slice("xmpp"));
            bind(&mut info);
            assert_eq!(epode_connected(client, 1, 1, &raw const info), EPODE_OK);
        }
        assert!(frame(client).starts_with("<open "));
        says(
            client,
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='example.org' id='1'/>",
        );
        says(
            client,
            &format!("<features xmlns='http://etherx.jabber.org/streams'>{features}</features>"),
        );
    }

    fn login(client: *mut Client, features: &str) {
        login_with(client, features, |_| ());
    }

    fn mechanisms(names: &[&str]) -> String {
        let names: String = names
            .iter()
            .map(|name| format!("<mechanism>{name}</mechanism>"))
            .collect();
        format!("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{names}</mechanisms>")
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut out = String::new();
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            for at in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
                out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
            }
        }
        out
    }

    fn decoded(text: &str) -> String {
        let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
        for digit in text.bytes().filter(|byte| *byte != b'=') {
            let value = base64_value(digit);
            (bits, count) = (bits << 6 | value, count + 6);
            if count >= 8 {
                count -= 8;
                out.push((bits >> count & 0xFF) as u8);
            }
        }
        String::from_utf8(out).unwrap()
    }

    fn base64_value(digit: u8) -> u32 {
        u32::from(match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            _ => 63,
        })
    }

    /// The text of an element, and the value of `mechanism` if it has one.
    fn parts(xml: &str) -> (String, String) {
        let mechanism = xml
            .split_once("mechanism='")
            .map_or("", |(_, rest)| rest.split('\'').next().unwrap());
        let data = xml
            .split_once('>')
            .map_or("", |(_, rest)| rest.split('<').next().unwrap());
        (mechanism.to_owned(), decoded(data))
    }

    /// What a SCRAM server says after the client's first message.
    fn challenge(client: *mut Client) -> String {
        let (mechanism, first) = parts(&frame(client));
        assert_eq!(mechanism, "SCRAM-SHA-256");
        let nonce = first.split_once("r=").unwrap().1;
        let server = base64(format!("r={nonce}server,s={},i=4096", base64(SALT)).as_bytes());
        format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{server}</challenge>")
    }

    /// The client's proof, where nobody but the client itself derives anything.
    fn proof(set: impl FnOnce(*mut Config) -> Vec<u32>) -> String {
        let client = client(set);
        login(client, &mechanisms(&["SCRAM-SHA-256"]));
        says(client, &challenge(client));
        let (_, last) = parts(&frame(client));
        // SAFETY: the handle lives.
        unsafe { epode_client_free(client) };
        assert!(last.contains(",p="), "{last}");
        last
    }

    /// The client's proof by a key that the host derives, and the key.
    fn derived(derive: impl FnOnce(*mut Derivation) -> Vec<u8>) -> (String, Vec<u8>) {
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            let client = client(|config| {
                let who = epode_config_set_key_derivation(config, EPODE_DERIVE_HOST);
                vec![by_password(config), who]
            });
            login(client, &mechanisms(&["SCRAM-SHA-256"]));
            let challenge = challenge(client);
            let mut derivation = null_mut();
            assert_eq!(epode_derivation_new(client, &raw mut derivation), EPODE_NO_DERIVATION);
            assert!(derivation.is_null());
            says(client, &challenge);
            let inputs = until(client, EPODE_DERIVE_KEY).data.derive_key;
            assert_eq!((inputs.hash, inputs.iterations), (EPODE_HASH_SHA256, 4096));
            assert_eq!(
                (bytes(inputs.salt).as_slice(), text(inputs.password).as_str()),
                (SALT, "pencil")
            );
            assert_eq!(epode_derivation_new(client, &raw mut derivation), EPODE_OK);
            let job = inputs.job;
            // The client goes on meanwhile.
            assert_eq!(epode_tick(client, 3), EPODE_OK);
            assert_eq!(next(client).kind, EPODE_NONE);
            let key = derive(derivation);
            assert_eq!(epode_derived(client, 4, job + 1, slice(&key)), EPODE_OK);
            assert_eq!(next(client).kind, EPODE_NONE, "a job that nobody waits for");
            assert_eq!(epode_derived(client, 4, job, slice(&key[1..])), EPODE_KEY);
            assert_eq!(epode_derived(client, 4, job, slice(&key)), EPODE_OK);
            epode_derivation_free(derivation);
            let (_, last) = parts(&frame(client));
            epode_client_free(client);
            (last, key)
        }
    }

    #[test]
    fn a_key_that_the_host_derives_is_the_one_that_the_client_would_have_derived() {
        let expected = proof(|config| vec![by_password(config)]);
        // SAFETY: the handles live, and the slices do until each call is over; a thread has a handle to itself.
        unsafe {
            let (by_thread, key) = derived(|derivation| {
                struct Handed(*mut Derivation);
                unsafe impl Send for Handed {}
                let handed = Handed(derivation);
                let thread = std::thread::spawn(move || {
                    let handed = handed;
                    let mut key = ABSENT;
                    assert_eq!(epode_derivation_run(handed.0, &raw mut key), EPODE_OK);
                    bytes(key)
                });
                thread.join().unwrap()
            });
            assert_eq!(by_thread, expected);
            let (by_platform, same_key) = derived(|derivation| {
                let mut key = ABSENT;
                let mut inputs: DeriveKey = mem::zeroed();
                assert_eq!(epode_derivation_inputs(derivation, &raw mut inputs), EPODE_OK);
                assert_eq!(text(inputs.password), "pencil");
                let short = epode_derivation_with_salted_password(derivation, slice(&SALTED[1..]), &raw mut key);
                assert_eq!(short, EPODE_VALUE);
                let whole = epode_derivation_with_salted_password(derivation, slice(&SALTED), &raw mut key);
                assert_eq!(whole, EPODE_OK);
                bytes(key)
            });
            assert_eq!((by_platform.as_str(), &same_key), (expected.as_str(), &key));
            // It logs in without the password.
            assert_eq!(
                proof(|config| vec![epode_config_set_scram_key(config, slice(&key))]),
                expected
            );
        }
    }

    #[test]
    fn a_key_that_does_not_fit_is_said_to_be_that() {
        let (_, key) = derived(|derivation| {
            let mut key = ABSENT;
            // SAFETY: the handle lives.
            assert_eq!(unsafe { epode_derivation_run(derivation, &raw mut key) }, EPODE_OK);
            bytes(key)
        });
        // SAFETY: the handle lives, and the slice does until the call is over.
        unsafe {
            let client = client(|config| vec![epode_config_set_scram_key(config, slice(&key))]);
            login(client, &mechanisms(&["SCRAM-SHA-256"]));
            let nonce = parts(&frame(client)).1.split_once("r=").unwrap().1.to_owned();
            let other = base64(format!("r={nonce}server,s={},i=8192", base64(SALT)).as_bytes());
            says(
                client,
                &format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{other}</challenge>"),
            );
            let offline = until(client, EPODE_OFFLINE).data.offline;
            assert_eq!(
                (offline.group, offline.login),
                (EPODE_OFFLINE_LOGIN, EPODE_LOGIN_KEY_DOES_NOT_FIT)
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn every_kind_of_channel_binding_reaches_the_login() {
        let offered = ["tls-exporter", "tls-unique", "tls-server-end-point"];
        for (at, name) in offered.into_iter().enumerate() {
            let client = client(|config| vec![by_password(config)]);
            let types: String = offered
                .iter()
                .map(|name| format!("<channel-binding type='{name}'/>"))
                .collect();
            let features = mechanisms(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
                + &format!("<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>{types}</sasl-channel-binding>");
            let data = [at as u8 + 1; 32];
            login_with(client, &features, |info| {
                let places = [
                    &mut info.tls_exporter,
                    &mut info.tls_unique,
                    &mut info.tls_server_end_point,
                ];
                *places.into_iter().nth(at).unwrap() = slice(&data);
            });
            let (mechanism, first) = parts(&frame(client));
            assert_eq!(mechanism, "SCRAM-SHA-256-PLUS");
            assert!(first.starts_with(&format!("p={name},,n=user,r=")), "{first}");
            // SAFETY: the handle lives.
            unsafe { epode_client_free(client) };
        }
    }

    #[test]
    fn a_login_is_bound_only_to_what_the_policy_takes() {
        let client = client(|config| {
            // SAFETY: the handle lives.
            let only = unsafe { epode_config_add_channel_binding(config, EPODE_BINDING_TLS_SERVER_END_POINT) };
            vec![by_password(config), only]
        });
        let (exporter, end_point) = ([1; 32], [2; 32]);
        let features = mechanisms(&["SCRAM-SHA-256-PLUS"])
            + "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/>\
               <channel-binding type='tls-server-end-point'/></sasl-channel-binding>";
        login_with(client, &features, |info| {
            (info.tls_exporter, info.tls_server_end_point) = (slice(&exporter), slice(&end_point));
        });
        let (_, first) = parts(&frame(client));
        assert!(first.starts_with("p=tls-server-end-point,,"), "{first}");
        // SAFETY: the handle lives.
        unsafe { epode_client_free(client) };
    }

    #[test]
    fn a_host_of_an_earlier_version_has_no_channel_binding() {
        let client = client(|config| vec![by_password(config)]);
        let data = [1; 32];
        login_with(client, &mechanisms(&["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]), |info| {
            info.struct_size = u32::try_from(mem::offset_of!(LinkInfo, tls_exporter)).unwrap();
            info.tls_exporter = slice(&data);
        });
        let (mechanism, first) = parts(&frame(client));
        assert_eq!((mechanism.as_str(), &first[..3]), ("SCRAM-SHA-256", "n,,"));
        // SAFETY: the handle lives.
        unsafe { epode_client_free(client) };
    }

    #[test]
    fn a_refused_access_token_says_which_one_is_wanted() {
        // SAFETY: the handle lives, and the slices do until each call is over.
        unsafe {
            let client = client(|config| vec![epode_config_set_access_token(config, slice("a.b.c"))]);
            login(client, &mechanisms(&["PLAIN", "SCRAM-SHA-256", "OAUTHBEARER"]));
            let (mechanism, first) = parts(&frame(client));
            assert_eq!(mechanism, "OAUTHBEARER");
            assert!(first.ends_with("auth=Bearer a.b.c\x01\x01"), "{first:?}");
            let why =
                base64(br#"{"status":"invalid_token","scope":"xmpp","openid-configuration":"https://id.example/"}"#);
            says(
                client,
                &format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{why}</challenge>"),
            );
            assert!(frame(client).contains("<response "));
            says(
                client,
                "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
            );
            let offline = until(client, EPODE_OFFLINE).data.offline;
            assert_eq!(
                (offline.group, offline.login),
                (EPODE_OFFLINE_LOGIN, EPODE_LOGIN_TOKEN_REFUSED)
            );
            assert_eq!(text(offline.condition), "not-authorized");
            let says = [offline.status, offline.scope, offline.openid_configuration].map(text);
            assert_eq!(says, ["invalid_token", "xmpp", "https://id.example/"]);
            epode_client_free(client);
        }
    }

    #[test]
    fn a_task_goes_to_the_application_and_back() {
        // SAFETY: the handle lives, and the slices do until each call is over.
        unsafe {
            let client = client(|config| {
                vec![
                    epode_config_set_certificate(config, slice("mine"), ABSENT),
                    epode_config_add_task(config, slice("HOTP-EXAMPLE")),
                ]
            });
            assert_eq!(epode_task(client, 0, ABSENT), EPODE_NO_TASK);
            login(
                client,
                "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>EXTERNAL</mechanism></authentication>",
            );
            assert!(frame(client).starts_with("<authenticate "));
            says(
                client,
                "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>OTHER</task><task>HOTP-EXAMPLE</task></tasks>\
                 <text>one more thing</text></continue>",
            );
            let task = until(client, EPODE_TASK).data.task;
            assert_eq!(
                (text(task.task).as_str(), text(task.text).as_str()),
                ("HOTP-EXAMPLE", "one more thing")
            );
            assert!(task.payload.data.is_null());
            assert_eq!(epode_task(client, 3, slice("<a>")), EPODE_XML);
            assert_eq!(epode_task(client, 3, ABSENT), EPODE_OK);
            let begun = frame(client);
            assert!(
                begun.starts_with("<next ") && begun.contains("task='HOTP-EXAMPLE'"),
                "{begun}"
            );
            says(
                client,
                "<task-data xmlns='urn:xmpp:sasl:2'><count xmlns='urn:example'>7</count></task-data>",
            );
            let task = until(client, EPODE_TASK).data.task;
            assert!(text(task.payload).contains(">7</count>"));
            assert_eq!(
                epode_task(client, 4, slice("<code xmlns='urn:example'>123</code>")),
                EPODE_OK
            );
            let answer = frame(client);
            assert!(
                answer.starts_with("<task-data ") && answer.contains(">123</code>"),
                "{answer}"
            );
            assert_eq!(epode_task(client, 5, ABSENT), EPODE_NO_TASK);
            says(
                client,
                "<success xmlns='urn:xmpp:sasl:2'>\
                 <authorization-identifier>user@example.org</authorization-identifier></success>",
            );
            says(
                client,
                "<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></features>",
            );
            let bind = frame(client);
            let id = bind.split_once("id='").unwrap().1.split('\'').next().unwrap();
            says(
                client,
                &format!(
                    "<iq xmlns='jabber:client' type='result' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
                     <jid>user@example.org/x</jid></bind></iq>"
                ),
            );
            let online = until(client, EPODE_ONLINE).data.online;
            assert_eq!(
                (text(online.mechanism).as_str(), online.profile),
                ("EXTERNAL", EPODE_SASL_2)
            );
            assert_eq!(
                (online.proof, online.channel_binding),
                (EPODE_PROOF_NONE, EPODE_BINDING_NONE)
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn the_policy_chooses() {
        let offered = mechanisms(&["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"]);
        let chosen = |set: &dyn Fn(*mut Config) -> u32| {
            let client = client(|config| vec![by_password(config), set(config)]);
            login(client, &offered);
            let (mechanism, _) = parts(&frame(client));
            // SAFETY: the handle lives.
            unsafe { epode_client_free(client) };
            mechanism
        };
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(chosen(&|_| EPODE_OK), "SCRAM-SHA-512");
            assert_eq!(
                chosen(&|config| epode_config_add_mechanism(config, slice("SCRAM-SHA-1"))),
                "SCRAM-SHA-1"
            );
            let client = client(|config| {
                let least = epode_config_set_least_mechanism(config, slice("SCRAM-SHA-256"));
                vec![by_password(config), least]
            });
            login(client, &mechanisms(&["SCRAM-SHA-1", "PLAIN"]));
            let offline = until(client, EPODE_OFFLINE).data.offline;
            assert_eq!(
                (offline.group, offline.login),
                (EPODE_OFFLINE_LOGIN, EPODE_LOGIN_NO_MECHANISM)
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn iterations_have_bounds() {
        // SAFETY: the handle lives, and the slices do until each call is over.
        unsafe {
            let client = client(|config| {
                let bounds = epode_config_set_scram_iterations(config, 10_000, 20_000);
                vec![by_password(config), bounds]
            });
            login(client, &mechanisms(&["SCRAM-SHA-256"]));
            says(client, &challenge(client));
            let offline = until(client, EPODE_OFFLINE).data.offline;
            assert_eq!(
                (offline.group, offline.login),
                (EPODE_OFFLINE_LOGIN, EPODE_LOGIN_MECHANISM)
            );
            assert!(text(offline.sentence).contains("10000"), "{}", text(offline.sentence));
            epode_client_free(client);
        }
    }

    #[test]
    fn without_a_kept_token_there_is_nothing_to_log_in_by() {
        // SAFETY: the handle lives, and the slices do until each call is over.
        unsafe {
            let client = client(|config| vec![epode_config_set_kept_token(config)]);
            assert_eq!(epode_start(client, 0), EPODE_OK);
            let output = until(client, EPODE_CONNECT);
            let mut info: LinkInfo = mem::zeroed();
            info.struct_size = u32::try_from(size_of::<LinkInfo>()).unwrap();
            (info.encrypted, info.verified) = (1, EPODE_VERIFIED_HOST);
            (info.verified_name, info.subprotocol) = (slice("example.org"), slice("xmpp"));
            assert_eq!(
                epode_connected(client, 1, output.data.connect.link, &raw const info),
                EPODE_OK
            );
            says(
                client,
                "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' version='1.0' from='example.org' id='1'/>",
            );
            says(
                client,
                &format!(
                    "<features xmlns='http://etherx.jabber.org/streams'>{}</features>",
                    mechanisms(&["PLAIN"])
                ),
            );
            let offline = until(client, EPODE_OFFLINE).data.offline;
            assert_eq!(
                (offline.group, offline.login),
                (EPODE_OFFLINE_LOGIN, EPODE_LOGIN_NO_TOKEN)
            );
            epode_client_free(client);
        }
    }

    #[test]
    fn new_credentials_are_of_the_same_account() {
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            let client = client(|config| vec![by_password(config)]);
            let token = |config| vec![epode_config_set_access_token(config, slice("a.b.c"))];
            let (mine, theirs) = (config("user@example.org/x", token), config("other@example.org", token));
            let (empty, nobody) = (config("user@example.org", |_| vec![]), null_mut());
            assert_eq!(epode_provide(client, 0, theirs), EPODE_CREDENTIALS_OF_ANOTHER);
            assert_eq!(epode_provide(client, 0, empty), EPODE_CONFIG_CREDENTIALS);
            assert_eq!(epode_provide(client, 0, nobody), EPODE_NULL);
            assert_eq!(epode_provide(null_mut(), 0, mine), EPODE_NULL);
            assert_eq!(epode_config_set_anonymous(empty), EPODE_OK);
            assert_eq!(epode_provide(client, 0, empty), EPODE_CREDENTIALS_OF_ANOTHER);
            assert_eq!(epode_provide(client, 0, mine), EPODE_OK);
            for config in [mine, theirs, empty] {
                epode_config_free(config);
            }
            login(client, &mechanisms(&["SCRAM-SHA-256", "OAUTHBEARER"]));
            assert_eq!(parts(&frame(client)).0, "OAUTHBEARER");
            epode_client_free(client);
        }
    }

    #[test]
    fn what_cannot_be_a_login_says_why() {
        let (mut client, mut sentence) = (null_mut(), ABSENT);
        let mut made = |jid: &str, set: &dyn Fn(*mut Config) -> u32| {
            let config = config(jid, |config| vec![set(config)]);
            // SAFETY: the handles live.
            unsafe {
                let code = epode_client_new(config, SEED.as_ptr(), &raw mut client);
                assert_eq!(client.is_null(), code != EPODE_OK);
                if code != EPODE_OK {
                    assert_eq!(epode_config_last_error(config, &raw mut sentence), EPODE_OK);
                    assert!(text(sentence).contains(' '));
                }
                epode_client_free(client);
                epode_config_free(config);
                code
            }
        };
        let me = "user@example.org";
        // SAFETY: the handles live, and the slices do until each call is over.
        unsafe {
            assert_eq!(
                made("example.org", &|config| epode_config_set_anonymous(config)),
                EPODE_OK
            );
            assert_eq!(
                made(me, &|config| epode_config_set_anonymous(config)),
                EPODE_CONFIG_ANONYMOUS_ACCOUNT
            );
            assert_eq!(
                made(me, &|config| epode_config_set_new_account(config, slice("pencil"))),
                EPODE_OK
            );
            let with = |set: &dyn Fn(*mut Config) -> u32, code| {
                let both = |config| {
                    if by_password(config) == EPODE_OK {
                        set(config)
                    } else {
                        EPODE_REFUSED
                    }
                };
                assert_eq!(made(me, &both), code);
            };
            let mut with = with;
            with(
                &|config| epode_config_set_user_agent(config, slice("no UUID"), ABSENT, ABSENT),
                EPODE_CONFIG_USER_AGENT,
            );
            with(
                &|config| epode_config_set_bind(config, slice(""), false),
                EPODE_CONFIG_TAG,
            );
            with(
                &|config| epode_config_set_least_mechanism(config, slice("SCRAM-MD4")),
                EPODE_CONFIG_UNKNOWN_MECHANISM,
            );
            // A password that is set last counts.
            with(
                &|config| epode_config_set_access_token(config, slice("a.b.c")),
                EPODE_OK,
            );
            let handle = config(me, |_| vec![]);
            assert_eq!(epode_config_set_fast(handle, 3), EPODE_VALUE);
            assert_eq!(
                epode_config_add_channel_binding(handle, EPODE_BINDING_NONE),
                EPODE_VALUE
            );
            assert_eq!(epode_config_set_key_derivation(handle, 2), EPODE_VALUE);
            assert_eq!(epode_config_set_scram_key(handle, slice("no key")), EPODE_KEY);
            assert_eq!(epode_config_set_scram_key(handle, ABSENT), EPODE_NULL);
            assert_eq!(epode_config_set_access_token(handle, ABSENT), EPODE_NULL);
            assert_eq!(epode_config_set_new_account(handle, ABSENT), EPODE_NULL);
            assert_eq!(epode_config_set_bind(handle, ABSENT, true), EPODE_NULL);
            epode_config_free(handle);
            epode_derivation_free(null_mut());
            let mut derivation = null_mut();
            assert_eq!(epode_derivation_new(null_mut(), &raw mut derivation), EPODE_NULL);
            assert_eq!(epode_derivation_run(null_mut(), &raw mut sentence), EPODE_NULL);
        }
    }
}
