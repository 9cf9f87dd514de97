//! What a login is proved with: certificates that cannot work, and what each connection offers to be bound to.

mod account;
mod modern;

use std::sync::{Arc, Mutex};

use epode::certificate::NoSingleAccount;
use epode::{ChannelBindings, Credentials, Input, TransportKind};
use epode_devserver::Server;
use epode_tokio::{Builder, CallError, ClientIdentity, ConnectError, IdentityError, Trace};
use rcgen::ExtendedKeyUsagePurpose;

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

/// RFC 9266 for a connection; RFC 5929 §4 alone where requests may go over several.
#[tokio::test]
async fn each_transport_offers_what_a_login_on_it_can_be_bound_to() {
    let authority = Authority::new();
    let server = authority.serve(|_| {}).await;
    let mut exported = Vec::new();
    for (transport, kind) in transports(&server) {
        let seen: Arc<Mutex<Option<ChannelBindings>>> = Arc::default();
        let shown = Arc::clone(&seen);
        let builder = authority.by(transport, "user01", |config| config).trace(move |trace| {
            if let Trace::Input {
                input: Input::Connected { info, .. },
                ..
            } = trace
            {
                *shown.lock().unwrap() = Some(info.channel_bindings.clone());
            }
        });
        let mut client = builder.connect().await.unwrap();
        online(&mut client).await;
        within(client.stop()).await;
        let bindings = seen.lock().unwrap().take().unwrap();
        // The server's certificate is signed with ECDSA and SHA-256.
        assert_eq!(
            bindings.tls_server_end_point.as_ref().map(Vec::len),
            Some(32),
            "{kind:?}"
        );
        assert_eq!(bindings.tls_unique, None, "{kind:?}");
        match bindings.tls_exporter {
            Some(value) => exported.push((kind, value)),
            None => assert_eq!(kind, TransportKind::Bosh),
        }
    }
    assert_eq!(exported.len(), 3, "{exported:?}");
    let mut values: Vec<_> = exported.iter().map(|(_, value)| value).collect();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), 3, "each connection has its own: {exported:?}");
}
