//! Logins to a server that has everything: channel binding, keys derived on a thread, tokens, tasks, renewed credentials.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use epode::config::{Fast, KeyDerivation, Persist};
use epode::error::LoginError;
use epode::{
    ChannelBindingType, Config, ConfigBuilder, Credentials, Element, Event, Input, Offline, Output, Refused,
    SaslProfile, ServerProof, Slot, Warning,
};
use epode_devserver::{Authentication, BearerToken, Server, TokenState};
use epode_tokio::{Builder, Client, FileStore, Trace};

use crate::support::{Authority, offline, online, within};
use crate::transports::{starttls, transports};

const PASSWORD: &str = "user01's password";

/// What an `Online` says of the login.
#[derive(Debug)]
struct Login {
    mechanism: String,
    channel_binding: Option<ChannelBindingType>,
    server_proof: ServerProof,
    profile: Option<SaslProfile>,
}

async fn login(client: &mut Client) -> Login {
    within(async {
        loop {
            let event = client.next().await.expect("an event");
            assert!(!matches!(event, Event::Offline { .. }), "{event:?}");
            if let Event::Online {
                mechanism,
                channel_binding,
                server_proof,
                profile,
                ..
            } = event
            {
                return Login {
                    mechanism,
                    channel_binding,
                    server_proof,
                    profile,
                };
            }
        }
    })
    .await
}

async fn modern(authority: &Authority) -> Server {
    authority
        .serve(|settings| settings.authentication = Authentication::modern())
        .await
}

/// user01 over TCP, with these credentials.
fn with(
    authority: &Authority,
    server: &Server,
    credentials: Credentials,
    change: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
) -> Builder {
    let config = Config::builder("user01@localhost".parse().unwrap())
        .transport(starttls(server))
        .credentials(credentials);
    Client::builder(change(config).build().unwrap())
        .add_root(authority.certificate.clone())
        .unwrap()
}

#[tokio::test]
async fn a_password_is_bound_to_the_connection_wherever_there_is_one() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    for (transport, kind) in transports(&server) {
        let config = Config::builder("user01@localhost".parse().unwrap())
            .transport(transport)
            .credentials(Credentials::password(PASSWORD));
        let mut client = Client::builder(config.build().unwrap())
            .add_root(authority.certificate.clone())
            .unwrap()
            .connect()
            .await
            .unwrap();
        let login = login(&mut client).await;
        let bound = kind != epode::TransportKind::Bosh;
        assert_eq!(login.mechanism.ends_with("-PLUS"), bound, "{kind:?}: {login:?}");
        let exporter = bound.then_some(ChannelBindingType::TlsExporter);
        assert_eq!(login.channel_binding, exporter, "{kind:?}");
        assert_eq!(login.server_proof, ServerProof::Verified, "{kind:?}");
        assert_eq!(login.profile, Some(SaslProfile::Sasl2), "{kind:?}");
        assert_eq!(within(client.stop()).await, Offline::Stopped, "{kind:?}");
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_server_that_knows_the_end_point_only_is_bound_by_that() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    server.control().change_authentication(|authentication| {
        authentication.channel_bindings = vec!["tls-server-end-point".to_owned()];
    });
    let mut client = with(&authority, &server, Credentials::password(PASSWORD), |config| config)
        .connect()
        .await
        .unwrap();
    let login = login(&mut client).await;
    assert_eq!(
        login.channel_binding,
        Some(ChannelBindingType::TlsServerEndPoint),
        "{login:?}"
    );
    within(client.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

/// How many keys the driver was asked for, and how many it gave.
async fn derivations(
    authority: &Authority,
    server: &Server,
    choose: impl FnOnce(Builder) -> Builder,
) -> (usize, usize) {
    let counts: Arc<Mutex<(usize, usize)>> = Arc::default();
    let counted = Arc::clone(&counts);
    let builder = with(authority, server, Credentials::password(PASSWORD), |config| config).trace(move |trace| {
        let mut counts = counted.lock().unwrap();
        if let Trace::Output {
            output: Output::DeriveKey { .. },
            ..
        } = trace
        {
            counts.0 += 1;
        } else if let Trace::Input {
            input: Input::Derived { .. },
            ..
        } = trace
        {
            counts.1 += 1;
        }
    });
    let mut client = choose(builder).connect().await.unwrap();
    online(&mut client).await;
    within(client.stop()).await;
    *counts.lock().unwrap()
}

#[tokio::test]
async fn keys_are_derived_on_another_thread_unless_that_is_not_wanted() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    assert_eq!(derivations(&authority, &server, |builder| builder).await, (1, 1));
    let inline = |builder: Builder| builder.key_derivation(KeyDerivation::Inline);
    assert_eq!(derivations(&authority, &server, inline).await, (0, 0));
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("token-{name}-{}", std::process::id()));
        // A leftover of another run.
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn store(&self) -> FileStore {
        FileStore::new(&self.0).unwrap()
    }

    fn token(&self) -> PathBuf {
        self.0.join("token")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A client that keeps everything in the folder.
async fn keeping(authority: &Authority, server: &Server, folder: &Folder, credentials: Credentials) -> Client {
    with(authority, server, credentials, |config| {
        config.persist(Persist::EveryTurn)
    })
    .store(folder.store())
    .connect()
    .await
    .unwrap()
}

#[tokio::test]
async fn a_token_of_one_client_logs_the_next_one_in() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let folder = Folder::new("next");
    let mut client = keeping(&authority, &server, &folder, Credentials::password(PASSWORD)).await;
    assert!(login(&mut client).await.mechanism.starts_with("SCRAM-"));
    within(client.stop()).await;
    #[cfg(unix)]
    for slot in ["token", "pins"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.0.join(slot)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{slot}");
    }
    // Each login brings a new token, and the next one is with that.
    for _ in 0..3 {
        let before = std::fs::read(folder.token()).unwrap();
        let mut client = keeping(&authority, &server, &folder, Credentials::KeptToken).await;
        assert_eq!(client.not_restored(), []);
        let login = login(&mut client).await;
        assert_eq!(login.mechanism, "HT-SHA-256-EXPR");
        assert_eq!(login.channel_binding, Some(ChannelBindingType::TlsExporter));
        assert_eq!(login.server_proof, ServerProof::Verified);
        within(client.stop()).await;
        assert_ne!(
            std::fs::read(folder.token()).unwrap(),
            before,
            "the token was not rotated"
        );
    }
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_token_that_is_refused_costs_one_attempt_and_the_password_is_provided_for_the_next() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let folder = Folder::new("refused");
    let mut client = keeping(&authority, &server, &folder, Credentials::password(PASSWORD)).await;
    login(&mut client).await;
    within(client.stop()).await;

    // With the password at hand the client goes on by itself.
    server.control().forget_tokens();
    let before = server.attempts().len();
    let mut client = keeping(&authority, &server, &folder, Credentials::password(PASSWORD)).await;
    let mut warned = false;
    let mechanism = within(async {
        loop {
            let event = client.next().await.expect("an event");
            warned |= matches!(event, Event::Warning(Warning::TokenRefused { .. }));
            if let Event::Online { mechanism, .. } = event {
                return mechanism;
            }
        }
    })
    .await;
    assert!(warned && mechanism.starts_with("SCRAM-"), "{mechanism}");
    assert_eq!(server.attempts().len() - before, 2, "{:?}", server.attempts());
    within(client.stop()).await;

    // Without it, it says so; then it takes what the application provides.
    server.control().forget_tokens();
    let mut client = keeping(&authority, &server, &folder, Credentials::KeptToken).await;
    let reason = offline(&mut client).await;
    assert!(
        matches!(&reason, Offline::Login(LoginError::NoToken { condition: Some(_) })),
        "{reason:?}"
    );
    client.provide(Credentials::password(PASSWORD)).await.unwrap();
    client.start().await.unwrap();
    assert!(login(&mut client).await.mechanism.starts_with("SCRAM-"));
    within(client.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn a_token_is_forgotten_on_both_sides_when_that_is_asked_for() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let folder = Folder::new("forgotten");
    let mut client = keeping(&authority, &server, &folder, Credentials::password(PASSWORD)).await;
    login(&mut client).await;
    within(client.stop()).await;
    assert_eq!(server.control().tokens(), 1);
    let mut client = with(&authority, &server, Credentials::KeptToken, |config| {
        config.persist(Persist::EveryTurn).fast(Fast::Invalidate)
    })
    .store(folder.store())
    .connect()
    .await
    .unwrap();
    assert_eq!(login(&mut client).await.mechanism, "HT-SHA-256-EXPR");
    within(client.stop()).await;
    assert_eq!(server.control().tokens(), 0);
    let mut client = keeping(&authority, &server, &folder, Credentials::KeptToken).await;
    let reason = offline(&mut client).await;
    assert_eq!(reason, Offline::Login(LoginError::NoToken { condition: None }));
}

#[tokio::test]
async fn a_token_that_is_garbage_or_of_another_account_does_not_stop_a_login() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    let folder = Folder::new("foreign");
    let config = Config::builder("user02@localhost".parse().unwrap())
        .transport(starttls(&server))
        .persist(Persist::EveryTurn)
        .credentials(Credentials::password("user02's password"));
    let mut other = Client::builder(config.build().unwrap())
        .add_root(authority.certificate.clone())
        .unwrap()
        .store(folder.store())
        .connect()
        .await
        .unwrap();
    login(&mut other).await;
    within(other.stop()).await;
    let foreign = std::fs::read(folder.token()).unwrap();
    for (what, token) in [
        ("of another account", foreign.clone()),
        ("garbage", b"garbage".to_vec()),
        ("cut", foreign[..foreign.len() / 2].to_vec()),
    ] {
        std::fs::write(folder.token(), token).unwrap();
        let _ = std::fs::remove_file(folder.0.join("pins"));
        let _ = std::fs::remove_file(folder.0.join("session"));
        let mut client = keeping(&authority, &server, &folder, Credentials::password(PASSWORD)).await;
        let [(slot, refused)] = client.not_restored() else {
            panic!("{what}: {:?}", client.not_restored())
        };
        assert_eq!(*slot, Slot::Token, "{what}");
        assert!(matches!(refused, Refused::Snapshot(_)), "{what}: {refused:?}");
        assert!(login(&mut client).await.mechanism.starts_with("SCRAM-"), "{what}");
        within(client.stop()).await;
        // Its own token has taken the place.
        let mut client = keeping(&authority, &server, &folder, Credentials::KeptToken).await;
        assert_eq!(login(&mut client).await.mechanism, "HT-SHA-256-EXPR", "{what}");
        within(client.stop()).await;
    }
    assert_eq!(server.violations(), [""; 0]);
}

const TASK: &str = "urn:epode:devserver:task";

/// XEP-0388 §2.6.3: the application answers what the server asks, twice.
#[tokio::test]
async fn a_task_is_the_applications_to_do() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    server
        .control()
        .change_authentication(|authentication| authentication.tasks = vec!["REPEAT".to_owned()]);
    let mut client = with(&authority, &server, Credentials::password(PASSWORD), |config| {
        config.task("REPEAT")
    })
    .connect()
    .await
    .unwrap();
    assert!(client.answer_task(None).await.is_err(), "nothing was asked yet");
    let mut questions = 0;
    let mechanism = within(async {
        loop {
            let event = client.next().await.expect("an event");
            assert!(!matches!(event, Event::Offline { .. }), "{event:?}");
            if let Event::Online { mechanism, .. } = event {
                return mechanism;
            }
            if let Event::Task { task, payload, .. } = event {
                assert_eq!(task, "REPEAT");
                let answer = payload.map(|asked| {
                    questions += 1;
                    Element::builder(TASK, "answer").text(&asked.text()).build().unwrap()
                });
                client.answer_task(answer).await.unwrap();
            }
        }
    })
    .await;
    assert!(mechanism.starts_with("SCRAM-"), "{mechanism}");
    assert_eq!(questions, 2);
    within(client.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}

#[tokio::test]
async fn an_access_token_that_has_expired_is_renewed() {
    let authority = Authority::new();
    let server = modern(&authority).await;
    server.control().change_authentication(|authentication| {
        let mut old = BearerToken::good("old-token", "user01");
        old.state = TokenState::Expired;
        authentication.bearer_tokens = vec![old, BearerToken::good("new-token", "user01")];
    });
    let mut client = with(&authority, &server, Credentials::access_token("old-token"), |config| {
        config
    })
    .connect()
    .await
    .unwrap();
    let reason = offline(&mut client).await;
    assert!(
        matches!(&reason, Offline::Login(LoginError::TokenRefused { .. })),
        "{reason:?}"
    );
    assert!(!format!("{reason:?} {reason}").contains("old-token"));
    client.provide(Credentials::access_token("new-token")).await.unwrap();
    client.start().await.unwrap();
    assert_eq!(login(&mut client).await.mechanism, "OAUTHBEARER");
    within(client.stop()).await;
    assert_eq!(server.violations(), [""; 0]);
}
