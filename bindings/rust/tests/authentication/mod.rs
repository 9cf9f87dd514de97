//! What a login is proved with: certificates that cannot work, and what each connection offers to be bound to.

mod account;
mod modern;

use std::sync::{Arc, Mutex};

use epode::certificate::NoSingleAccount;
use epode::{ChannelBindingType, Credentials, Input, LinkInfo};
use epode_devserver::Server;
use epode_tokio::{Builder, CallError, ClientIdentity, ConnectError, IdentityError, Trace};
use rcgen::ExtendedKeyUsagePurpose;
use serde_json::{Value, json};

use crate::support::{Authority, Validity, online, within};
use crate::transports::transports;

fn by(authority: &Authority, server: &Server, identity: ClientIdentity) -> Builder {
    let credentials = Credentials::certificate("mine", None);
    authority
        .builder(server, "user01@localhost", credentials)
        .identity("mine", identity)
}

#[tokio::test]
async fn a_certificate_that_is_not_meant_for_clients_is_noticed_before_the_server_is_asked() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let (chain, key) = authority.client_with(&["user01@localhost"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let identity = ClientIdentity::new(chain, key).unwrap();
    let error = by(&authority, &server, identity).connect().await.unwrap_err();
    assert_eq!(error, ConnectError::Identity(IdentityError::NotForClients));
    assert!(error.to_string().contains("lacks clientAuth"), "{error}");
    assert_eq!(server.statistics().connections, 0);

    // One that does not say what it is for is for everything (RFC 5280 §4.2.1.12).
    let (chain, key) = authority.client_with(&["user01@localhost"], |params| params.extended_key_usages.clear());
    let identity = ClientIdentity::new(chain, key).unwrap();
    let mut client = by(&authority, &server, identity).connect().await.unwrap();
    online(&mut client).await;
    within(client.stop()).await;
}

#[test]
fn a_key_of_another_certificate_is_noticed_when_it_is_loaded() {
    let authority = Authority::new();
    let (chain, _) = authority.client_with(&["user01@localhost"], |_| {});
    let (_, key) = authority.client_with(&["user01@localhost"], |_| {});
    let error = ClientIdentity::new(chain, key).unwrap_err();
    assert_eq!(error, IdentityError::OtherKey);
    assert!(error.to_string().contains("made together"), "{error}");
}

#[test]
fn a_certificate_says_whose_account_it_is_for() {
    let authority = Authority::new();
    let account = |jids: &[&str]| {
        let (chain, key) = authority.client_with(jids, |_| {});
        ClientIdentity::new(chain, key).unwrap().account()
    };
    assert_eq!(
        account(&["user01@localhost"]).map(|account| account.to_string()),
        Ok("user01@localhost".to_owned())
    );
    let several = account(&["user01@localhost", "user02@localhost"]).unwrap_err();
    assert!(
        several.to_string().ends_with(": user01@localhost user02@localhost"),
        "{several}"
    );
    assert_eq!(account(&[]), Err(NoSingleAccount::NoAccount));
}

#[tokio::test]
async fn a_new_certificate_is_judged_when_it_is_provided() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let (_, expired) = authority.client("user01@localhost", Validity::Expired);
    let builder = authority.by_certificate(&server, "user01", Validity::Now);
    let mut client = builder.identity("old", expired).connect().await.unwrap();
    online(&mut client).await;
    let error = client.provide(Credentials::certificate("old", None)).await.unwrap_err();
    assert!(
        matches!(error, CallError::Identity(IdentityError::Expired { .. })),
        "{error:?}"
    );
    let error = client
        .provide(Credentials::certificate("lost", None))
        .await
        .unwrap_err();
    let label = "lost".to_owned();
    assert_eq!(error, CallError::NoIdentity { label });
    within(client.stop()).await;
}

/// RFC 9266 for a connection; RFC 5929 §4 alone where requests may go over several, and with TLS 1.2. The table of
/// bindings/README.md is made of the same file.
#[tokio::test]
async fn each_transport_offers_what_a_login_on_it_can_be_bound_to() {
    let authority = Authority::new();
    let (mut exported, mut rows) = (Vec::new(), Vec::new());
    for (version, old) in [("1.3", false), ("1.2", true)] {
        let server = authority.serve(|settings| settings.tls_1_2_only = old).await;
        for (transport, kind) in transports(&server) {
            let seen: Arc<Mutex<Option<LinkInfo>>> = Arc::default();
            let shown = Arc::clone(&seen);
            let builder = authority.by(transport, "user01", |config| config).trace(move |trace| {
                if let Trace::Input {
                    input: Input::Connected { info, .. },
                    ..
                } = trace
                {
                    *shown.lock().unwrap() = Some(info.clone());
                }
            });
            let mut client = builder.connect().await.unwrap();
            online(&mut client).await;
            within(client.stop()).await;
            let info = seen.lock().unwrap().take().unwrap();
            let bindings = info.channel_bindings;
            // The server's certificate is signed with ECDSA and SHA-256.
            assert_eq!(
                bindings.tls_server_end_point.as_ref().map(Vec::len),
                Some(32),
                "{kind:?}"
            );
            let given = ChannelBindingType::ALL.iter().filter(|of| bindings.get(**of).is_some());
            let row = json!({
                "transport": kind.name().to_lowercase(),
                "tls": version,
                "bindings": given.map(|of| of.name()).collect::<Vec<_>>(),
            });
            // STARTTLS and direct TLS are one row.
            if !rows.contains(&row) {
                rows.push(row);
            }
            exported.extend(bindings.tls_exporter);
        }
    }
    let table: Value = serde_json::from_str(include_str!("../../../channel-bindings/rust.json")).unwrap();
    assert_eq!(Value::from(rows), table["drivers"][0]["rows"]);
    let count = exported.len();
    exported.sort();
    exported.dedup();
    assert_eq!((count, exported.len()), (3, 3), "each connection has its own");
}
