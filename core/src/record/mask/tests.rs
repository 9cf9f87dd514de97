//! What is hidden, and what is not.

use std::borrow::Cow;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;
use crate::output::TcpTls;
use crate::xml::{Element, XmlLimits};

const LINK: LinkId = LinkId(1);
const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";

fn connected(endpoint: Endpoint) -> Mask {
    let mut mask = Mask::new(Hide::All);
    mask.output(&mut Output::Connect {
        link: LINK,
        endpoint,
        server_name: "example.org".into(),
        identity: None,
        max_message: 1,
    });
    mask
}

fn tcp() -> Mask {
    connected(Endpoint::Tcp {
        host: "example.org".into(),
        port: 5223,
        tls: TcpTls::Direct,
    })
}

fn written(mask: &mut Mask, text: &str) -> String {
    let mut output = Output::Write {
        link: LINK,
        bytes: text.into(),
    };
    mask.output(&mut output);
    let Output::Write { bytes, .. } = output else { panic!() };
    String::from_utf8(bytes).unwrap()
}

/// The text in pieces of `size` bytes.
fn received(mask: &mut Mask, text: &str, size: usize) -> String {
    let mut all = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        let mut input = Input::Received {
            link: LINK,
            bytes: Cow::Owned(piece.to_vec()),
        };
        mask.input(&mut input);
        let Input::Received { bytes, .. } = input else { panic!() };
        all.extend_from_slice(&bytes);
    }
    String::from_utf8(all).unwrap()
}

fn found(mask: &Mask) -> Vec<(Label, usize)> {
    mask.found().collect()
}

#[test]
fn a_scram_login_over_tcp_keeps_no_proof_however_it_is_cut() {
    for size in [1, 2, 7, 1000] {
        let mut mask = tcp();
        let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='example.org'>";
        assert_eq!(written(&mut mask, header), header);
        let opened = "<?xml version='1.0'?><!-- a>b --><stream:stream id='x'><stream:features>\
                      <mechanisms><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>";
        assert_eq!(received(&mut mask, opened, size), opened);
        let auth = std::format!("<auth {SASL} mechanism='SCRAM-SHA-1'>biwsbj11c2Vy</auth>");
        assert_eq!(written(&mut mask, &auth), auth);
        let challenge = std::format!("<challenge {SASL}>cj1h</challenge>");
        assert_eq!(received(&mut mask, &challenge, size), challenge);
        assert_eq!(
            written(
                &mut mask,
                &std::format!("<response {SASL}>Yz1iaXdzLHI9YSxwPXByb29m</response>")
            ),
            std::format!("<response {SASL}>*client-proof***********</response>")
        );
        assert_eq!(
            received(
                &mut mask,
                &std::format!("<success {SASL}>dj1zaWduYXR1cmU=</success>"),
                size
            ),
            std::format!("<success {SASL}>*server-proof***</success>")
        );
        // A new stream, and what only looks alike.
        let later = "<stream:stream id='y'><message><success>text</success><body>&lt;success></body></message>";
        assert_eq!(received(&mut mask, later, size), later);
        let enabled = "<enabled xmlns='urn:xmpp:sm:3' resume=\"1\" id=\"g2gCbQ==\"/><a id='1'/>";
        assert_eq!(
            received(&mut mask, enabled, size),
            "<enabled xmlns='urn:xmpp:sm:3' resume=\"1\" id=\"*resumpt\"/><a id='1'/>"
        );
        let expected = [
            (Label::ClientProof, 1),
            (Label::ServerProof, 1),
            (Label::ResumptionId, 1),
        ];
        assert_eq!(found(&mask), expected);
    }
}

#[test]
fn the_proof_in_a_challenge_is_one_too_and_cdata_hides_nothing() {
    let mut mask = tcp();
    written(&mut mask, "<stream:stream>");
    written(&mut mask, "<auth mechanism='SCRAM-SHA-256'>biws</auth>");
    received(&mut mask, "<stream:stream><challenge>cj1h</challenge>", 3);
    written(&mut mask, "<response>Yz1i</response>");
    assert_eq!(
        received(&mut mask, "<challenge><![CDATA[dj1z]]></challenge>", 5),
        "<challenge><![CDATA[*ser]]></challenge>"
    );
}

#[test]
fn plain_shows_its_length_and_external_everything() {
    let mut mask = tcp();
    written(&mut mask, "<stream:stream>");
    assert_eq!(
        written(&mut mask, "<auth mechanism='PLAIN'>AHVzZXIAcGVuY2ls</auth>"),
        "<auth mechanism='PLAIN'>*password*******</auth>"
    );
    assert_eq!(mask.shown(0), (Some(16), None));
    let external = "<auth mechanism='EXTERNAL'>=</auth>";
    assert_eq!(written(&mut mask, external), external);
    let success = "<stream:stream><success>text</success>";
    assert_eq!(received(&mut mask, success, 1), success);
}

#[test]
fn a_frame_and_a_body_are_documents_of_their_own() {
    let mut mask = connected(Endpoint::WebSocket {
        url: "wss://example.org/".into(),
    });
    let frame = |mask: &mut Mask, text: &str| {
        let mut output = Output::Frame {
            link: LINK,
            text: text.to_string(),
        };
        mask.output(&mut output);
        let Output::Frame { text, .. } = output else { panic!() };
        text
    };
    let open = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";
    assert_eq!(frame(&mut mask, open), open);
    assert_eq!(
        frame(&mut mask, "<auth mechanism='PLAIN'>AHVzZXI=</auth>"),
        "<auth mechanism='PLAIN'>*passwor</auth>"
    );
    let message = "<message><auth mechanism='PLAIN'>AHVzZXI=</auth></message>";
    assert_eq!(frame(&mut mask, message), message);
    assert_eq!(
        frame(&mut mask, "<resume previd='g2gCbQ' h='1'/>"),
        "<resume previd='*resum' h='1'/>"
    );

    let mut mask = connected(Endpoint::Bosh {
        url: "https://example.org/".into(),
    });
    let mut input = Input::Responded {
        link: LINK,
        request: crate::RequestId(1),
        status: 200,
        body: Cow::Borrowed(b"<body sid='0123456789abcdef' rid='1'><success>dj1h</success></body>"),
        tls: None,
    };
    mask.input(&mut input);
    let Input::Responded { body, .. } = input else { panic!() };
    assert_eq!(
        core::str::from_utf8(&body).unwrap(),
        "<body sid='*session-id*****' rid='1'><success>*ser</success></body>"
    );
    assert_eq!(found(&mask), [(Label::ServerProof, 1), (Label::SessionId, 1)]);
}

/// What a client (`C`) and a server (`S`) say, with the secrets in braces behind their labels.
const EXCHANGES: &[&[(char, &str)]] = &[
    &[
        (
            'C',
            "<auth mechanism='OAUTHBEARER'>{access-token:bixhPXVzZXJAZXhhbXBsZQ==}</auth>",
        ),
        ('S', "<challenge>eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=</challenge>"),
        ('C', "<response>{access-token:AQ==}</response>"),
        ('S', "<failure><not-authorized/></failure>"),
        ('C', "<auth mechanism='X-OAUTH2'>{access-token:AHVzZXIAdG9rZW4=}</auth>"),
        ('S', "<success/>"),
    ],
    &[
        ('C', "<auth mechanism='DIGEST-MD5'/>"),
        ('S', "<challenge>bm9uY2U9InEi</challenge>"),
        ('C', "<response>{client-proof:dXNlcm5hbWU9InEi}</response>"),
        ('S', "<challenge>{server-proof:cnNwYXV0aD0x}</challenge>"),
        ('C', "<response/>"),
        ('S', "<success/>"),
    ],
    &[
        ('C', "<auth mechanism='DIGEST-MD5'/>"),
        ('S', "<challenge>bm9uY2U9InEi</challenge>"),
        ('C', "<response>{client-proof:dXNlcm5hbWU9InEi}</response>"),
        ('S', "<success>{server-proof:cnNwYXV0aD0x}</success>"),
    ],
    &[
        ('C', "<auth mechanism='HT-SHA-256-NONE'>{client-proof:dXNlcgBw}</auth>"),
        ('S', "<success>{server-proof:cHJvb2Y=}</success>"),
    ],
    &[
        ('C', "<auth mechanism='ANONYMOUS'/>"),
        ('S', "<challenge/>"),
        ('C', "<response/>"),
        ('S', "<success/>"),
    ],
    // A mechanism that nobody knows may show a password.
    &[
        ('C', "<auth mechanism='LOGIN'/>"),
        ('S', "<challenge>VXNlciBOYW1lAA==</challenge>"),
        ('C', "<response>{password:dXNlcg==}</response>"),
    ],
    // XEP-0388, XEP-0386, XEP-0484.
    &[
        (
            'C',
            "<authenticate mechanism=\"SCRAM-SHA-256-PLUS\"><initial-response>cD10bHMtZXhw</initial-response>\
             <user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'><software>s</software></user-agent>\
             <bind><tag>t</tag><enable resume='true'/></bind><resume previd='{resumption-id:x}' h='7'/>\
             <request-token mechanism='HT-SHA-256-NONE'/></authenticate>",
        ),
        ('S', "<challenge>cj03S2pQWHdr</challenge>"),
        ('C', "<response>{client-proof:Yz1jRDEwYkhN}</response>"),
        (
            'S',
            "<success><token expiry='2026-12-22T01:06:23Z' token='{login-token:secret-token:76PNImS6LDv}'/>\
             <failed previd='{resumption-id:x}'/><bound><enabled resume='true' id='{resumption-id:g2gCbQ==}'/></bound>\
             <authorization-identifier>user@example.org/r</authorization-identifier>\
             <additional-data>{server-proof:dj1sNmwx}</additional-data></success>",
        ),
    ],
    &[
        (
            'C',
            "<authenticate mechanism='PLAIN'><initial-response>{password:AHVzZXIAcGVuY2ls}</initial-response></authenticate>",
        ),
        (
            'S',
            "<success><authorization-identifier>user@example.org</authorization-identifier></success>",
        ),
        ('S', "<message><success><token token='text'/></success></message>"),
        ('C', "<message><password>text</password></message>"),
    ],
    &[
        (
            'C',
            "<authenticate mechanism='HT-SHA-256-EXPR'><initial-response>{client-proof:dXNlcjAx}</initial-response>\
             <fast count='1'/></authenticate>",
        ),
        (
            'S',
            "<success><additional-data>{server-proof:tZwxoQ==}</additional-data><resumed h='2' previd='{resumption-id:Etf6}'/>\
             <token token='{login-token:76PNImS6LDv}'/></success>",
        ),
    ],
    // XEP-0388 §2.6.3, XEP-0480.
    &[
        (
            'C',
            "<authenticate mechanism='SCRAM-SHA-1'><initial-response>biws</initial-response><upgrade>UPGR-SCRAM-SHA-256\
             </upgrade></authenticate>",
        ),
        ('S', "<challenge>cj03S2pQWHdr</challenge>"),
        ('C', "<response>{client-proof:Yz1jRDEwYkhN}</response>"),
        (
            'S',
            "<continue><additional-data>{server-proof:dj1sNmwx}</additional-data><tasks><task>UPGR-SCRAM-SHA-256</task></tasks>\
             <text>One more thing</text></continue>",
        ),
        ('C', "<next task='UPGR-SCRAM-SHA-256'/>"),
        (
            'S',
            "<task-data><salt iterations='4096'>QSXCR+Q6sek8bf92</salt></task-data>",
        ),
        (
            'C',
            "<task-data><hash>{salted-password:BzOnw3Pc5H4bOLlPZ/8JAy6wnTpH05aH}</hash></task-data>",
        ),
        ('S', "<continue><tasks><task>TOTP</task></tasks></continue>"),
        (
            'C',
            "<next task='TOTP'><code of='{task-data:app}'>{task-data:123456}<more/>{task-data:7}</code></next>",
        ),
        ('S', "<task-data><code>{task-data:wrong}</code></task-data>"),
        ('C', "<task-data>{task-data:654321}</task-data>"),
        (
            'S',
            "<success><authorization-identifier>user@example.org</authorization-identifier></success>",
        ),
    ],
    // XEP-0077.
    &[
        (
            'S',
            "<iq type='result'><query><registered/><username>u</username><password>{password:old}</password></query></iq>",
        ),
        (
            'C',
            "<iq type='set'><query><username>u</username><password>{password:a&amp;b}</password></query></iq>",
        ),
        (
            'C',
            "<iq type='set'><query><x type='submit'><field var='username'><value>u</value></field><field var='new_Password'>\
             <value>{password:pencil}</value></field><field type='text-private' var='pin'><value>{password:1}</value></field>\
             </x></query></iq>",
        ),
        ('C', "<iq type='set'><other><password>text</password></other></iq>"),
    ],
];

/// The text as it travels, and as the log has it.
fn both(text: &str) -> (String, String) {
    let (mut travels, mut logged) = (String::new(), String::new());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let (secret, behind) = behind.split_once('}').unwrap();
        let (label, secret) = secret.split_once(':').unwrap();
        let placeholder = std::format!("*{label}{}", "*".repeat(secret.len()));
        travels = travels + before + secret;
        logged = logged + before + &placeholder[..secret.len()];
        rest = behind;
    }
    (travels + rest, logged + rest)
}

/// The ways in which the same can be written.
fn spellings(text: &str) -> [String; 3] {
    let mut prefixed = text.to_string();
    for at in (0..text.len()).rev() {
        let tag = text[at..].strip_prefix("</").or_else(|| text[at..].strip_prefix('<'));
        if let Some(tag) = tag.filter(|tag| tag.starts_with(|first: char| first.is_ascii_alphabetic())) {
            prefixed.insert_str(text.len() - tag.len(), "p:");
        }
    }
    let cdata = text.replace(">{", "><![CDATA[{").replace("}<", "}]]><");
    [text.to_string(), prefixed, cdata]
}

#[test]
fn what_logs_in_is_hidden_on_every_transport_however_it_is_cut_and_written() {
    for exchange in EXCHANGES {
        for spelling in 0..3 {
            for size in [1, 3, 1000] {
                over_tcp(exchange, spelling, size);
            }
            over_websocket(exchange, spelling);
            over_bosh(exchange, spelling);
        }
    }
}

fn over_tcp(exchange: &[(char, &str)], spelling: usize, size: usize) {
    let mut mask = tcp();
    written(&mut mask, "<?xml version='1.0'?><stream:stream>");
    received(&mut mask, "<?xml version='1.0'?><stream:stream id='x'>", size);
    for (who, text) in exchange {
        let (travels, logged) = both(&spellings(text)[spelling]);
        let got = match who {
            'C' => written(&mut mask, &travels),
            _ => received(&mut mask, &travels, size),
        };
        assert_eq!(got, logged, "in pieces of {size}");
    }
}

fn over_websocket(exchange: &[(char, &str)], spelling: usize) {
    let url = "wss://example.org/".into();
    let mut mask = connected(Endpoint::WebSocket { url });
    for (who, text) in exchange {
        let (travels, logged) = both(&spellings(text)[spelling]);
        let got = match who {
            'C' => frame(&mut mask, &travels),
            _ => received(&mut mask, &travels, usize::MAX),
        };
        assert_eq!(got, logged);
    }
}

fn over_bosh(exchange: &[(char, &str)], spelling: usize) {
    let url = "https://example.org/".into();
    let mut mask = connected(Endpoint::Bosh { url });
    for (who, text) in exchange {
        let (travels, logged) = both(&spellings(text)[spelling]);
        let (travels, logged) = (
            std::format!("<body>{travels}</body>"),
            std::format!("<body>{logged}</body>"),
        );
        let got = match who {
            'C' => posted(&mut mask, &travels),
            _ => responded(&mut mask, &travels),
        };
        assert_eq!(got, logged);
    }
}

fn frame(mask: &mut Mask, text: &str) -> String {
    let mut output = Output::Frame {
        link: LINK,
        text: text.to_string(),
    };
    mask.output(&mut output);
    let Output::Frame { text, .. } = output else { panic!() };
    text
}

fn posted(mask: &mut Mask, text: &str) -> String {
    let mut output = Output::Post {
        link: LINK,
        request: crate::RequestId(1),
        body: text.into(),
        deadline: crate::Instant::default(),
    };
    mask.output(&mut output);
    let Output::Post { body, .. } = output else { panic!() };
    String::from_utf8(body).unwrap()
}

fn responded(mask: &mut Mask, text: &str) -> String {
    let mut input = Input::Responded {
        link: LINK,
        request: crate::RequestId(1),
        status: 200,
        body: Cow::Owned(text.into()),
        tls: None,
    };
    mask.input(&mut input);
    let Input::Responded { body, .. } = input else { panic!() };
    String::from_utf8(body.into_owned()).unwrap()
}

#[test]
fn elements_of_the_application_are_as_long_as_they_will_travel_and_those_for_it_are_not_counted() {
    const REGISTER: &str = "<query xmlns='jabber:iq:register'><password>a&amp;b</password></query>";
    let parsed = |xml: &str| Element::parse(xml, &XmlLimits::default()).unwrap();
    let iq = parsed(&std::format!("<iq xmlns='jabber:client' type='set'>{REGISTER}</iq>"));
    let code = parsed("<code xmlns='urn:example' of='app' xml:lang='en'>123456</code>");

    let mut mask = Mask::new(Hide::All);
    let mut inputs = [
        Input::Request {
            iq: iq.clone(),
            timeout: None,
        },
        Input::Respond {
            token: crate::Token(1),
            result: Ok(Some(parsed(REGISTER))),
        },
        Input::Task {
            payload: Some(code.clone()),
        },
    ];
    inputs.iter_mut().for_each(|input| mask.input(input));
    let [
        Input::Request { iq: request, .. },
        Input::Respond {
            result: Ok(Some(payload)),
            ..
        },
        Input::Task { payload: Some(task) },
    ] = inputs
    else {
        panic!()
    };
    assert_eq!(
        payload.to_xml(),
        "<query xmlns='jabber:iq:register'><password>*passwo</password></query>"
    );
    assert_eq!(request.children().next().unwrap().to_element(), payload);
    assert_eq!(
        task.to_xml(),
        "<code xmlns='urn:example' of='*ta' xml:lang='en'>*task-</code>"
    );

    let mut done = Output::Event(Event::IqDone {
        token: crate::Token(1),
        result: Ok(iq),
    });
    let mut asked = Output::Event(Event::Task {
        task: "TOTP".into(),
        payload: Some(code),
        text: None,
    });
    mask.output(&mut done);
    mask.output(&mut asked);
    let Output::Event(Event::IqDone { result: Ok(iq), .. }) = done else {
        panic!()
    };
    assert!(iq.to_xml().contains("<password>*</password>"), "{iq:?}");
    let Output::Event(Event::Task {
        payload: Some(task), ..
    }) = asked
    else {
        panic!()
    };
    assert_eq!(task.to_xml(), "<code xmlns='urn:example' of='*' xml:lang='en'>*</code>");
}

#[test]
fn keys_credentials_and_channel_bindings_are_left_out() {
    let derivation = crate::Derivation {
        hash: crate::ScramHash::Sha1,
        salt: Vec::from(*b"salt"),
        iterations: 1,
        password: "pencil".into(),
    };
    let key = derivation.run();
    let mut info = crate::LinkInfo::verified("example.org");
    info.channel_bindings.tls_exporter = Some(Vec::from([7; 32]));
    info.channel_bindings.tls_server_end_point = Some(Vec::from(*b"hash of a certificate"));
    let credentials = crate::Credentials::ScramKey { key: key.clone() };
    let inputs = [
        Input::Connected { link: LINK, info },
        Input::Derived {
            job: crate::JobId(1),
            key: key.clone(),
        },
        Input::Provide { credentials },
        Input::Provide {
            credentials: crate::Credentials::password("pencil"),
        },
    ];
    let mut mask = Mask::new(Hide::All);
    let [
        Input::Connected { info, .. },
        Input::Derived { key: derived, .. },
        Input::Provide { credentials: with_key },
        Input::Provide {
            credentials: with_password,
        },
    ] = inputs.map(|mut input| {
        mask.input(&mut input);
        input
    })
    else {
        panic!()
    };
    assert_eq!(
        info.channel_bindings.tls_exporter.as_deref(),
        Some(&b"*channel-binding****************"[..])
    );
    assert_eq!(
        info.channel_bindings.tls_server_end_point.as_deref(),
        Some(&b"hash of a certificate"[..])
    );
    assert_ne!(derived, key);
    assert_eq!(with_key, crate::Credentials::ScramKey { key: derived });
    assert_eq!(with_password, crate::Credentials::password(""));
    let mut output = Output::DeriveKey {
        job: crate::JobId(1),
        derivation: derivation.clone(),
    };
    mask.output(&mut output);
    let password = Secret::default();
    let hidden = Output::DeriveKey {
        job: crate::JobId(1),
        derivation: crate::Derivation { password, ..derivation },
    };
    assert_eq!(output, hidden);
}
