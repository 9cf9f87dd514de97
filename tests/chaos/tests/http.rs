//! Each fault of the HTTP layer, forced, as the client and the server see it.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use epode_chaos::{Event, Fault, HttpProfile, HttpTarget, Proxy, Statistics, What, client_tls, server_tls};
    use http_body_util::{BodyExt, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::client::conn::http1::SendRequest;
    use hyper::{Method, Request, Response};
    use hyper_util::rt::TokioIo;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::ClientConfig;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;
    use tokio::time::timeout;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    /// No step on loopback takes so long unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(20);
    const SEED: u64 = 20_240_613;

    async fn soon<T>(what: impl Future<Output = T>) -> T {
        timeout(PATIENCE, what).await.expect("it hangs")
    }

    /// A certificate for `localhost` that signs itself, as DER and PEM.
    struct Identity {
        certificate: CertificateDer<'static>,
        key: KeyPair,
        pem: String,
    }

    impl Identity {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            let certificate = params.self_signed(&key).unwrap();
            Self {
                certificate: certificate.der().clone(),
                pem: certificate.pem(),
                key,
            }
        }

        fn server(&self) -> Arc<rustls::ServerConfig> {
            let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
            server_tls(vec![self.certificate.clone()], key).unwrap()
        }

        fn client(&self) -> Arc<ClientConfig> {
            client_tls(vec![self.certificate.clone()]).unwrap()
        }
    }

    /// Answers `N: body` to the N-th request. A body that begins with `hold` is answered only when two requests have come.
    struct Server {
        address: SocketAddr,
        seen: Arc<Mutex<Vec<Bytes>>>,
        count: watch::Receiver<usize>,
        accepting: tokio::task::JoinHandle<()>,
    }

    impl Server {
        async fn start(identity: &Identity) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let acceptor = TlsAcceptor::from(identity.server());
            let seen = Arc::new(Mutex::new(Vec::new()));
            let (counter, count) = watch::channel(0);
            let counter = Arc::new(counter);
            let log = seen.clone();
            let accepting = tokio::spawn(async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (acceptor, log, counter) = (acceptor.clone(), log.clone(), counter.clone());
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        let answer = hyper::service::service_fn(|request: Request<Incoming>| {
                            let (log, counter) = (log.clone(), counter.clone());
                            async move { answer(request, &log, &counter).await }
                        });
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), answer)
                            .await;
                    });
                }
            });
            Self {
                address,
                seen,
                count,
                accepting,
            }
        }

        fn bodies(&self) -> Vec<Bytes> {
            self.seen.lock().unwrap().clone()
        }

        async fn has_seen(&self, requests: usize) {
            soon(self.count.clone().wait_for(|count| *count >= requests))
                .await
                .unwrap();
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.accepting.abort();
        }
    }

    async fn answer(
        request: Request<Incoming>,
        log: &Mutex<Vec<Bytes>>,
        counter: &watch::Sender<usize>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.uri().path(), "/http-bind");
        assert_eq!(request.headers()["host"], "chaos.example");
        assert_eq!(request.headers()["content-type"], "text/xml; charset=utf-8");
        let body = request.into_body().collect().await?.to_bytes();
        let number = {
            let mut log = log.lock().unwrap();
            log.push(body.clone());
            log.len()
        };
        counter.send_modify(|count| *count = number);
        if body.starts_with(b"hold") {
            let _ = counter.subscribe().wait_for(|count| *count >= 2).await;
        }
        let text = format!("{number}: {}", String::from_utf8_lossy(&body));
        let mut response = Response::new(Full::new(Bytes::from(text)));
        response.headers_mut().insert("x-server", "yes".parse().unwrap());
        Ok(response)
    }

    /// A server, the proxy before it, and what a client needs.
    struct Scene {
        server: Server,
        proxy: Proxy,
        tls: Arc<ClientConfig>,
    }

    impl Scene {
        async fn new(profile: HttpProfile) -> Self {
            let (outer, inner) = (Identity::new(), Identity::new());
            let server = Server::start(&inner).await;
            let target = HttpTarget {
                address: server.address,
                name: "localhost".try_into().unwrap(),
                tls: inner.client(),
            };
            let proxy = Proxy::http(SEED, profile, outer.server(), target).await.unwrap();
            Self {
                server,
                proxy,
                tls: outer.client(),
            }
        }

        async fn connect(&self) -> SendRequest<Full<Bytes>> {
            let stream = TcpStream::connect(self.proxy.address()).await.unwrap();
            let connector = TlsConnector::from(self.tls.clone());
            let stream = soon(connector.connect("localhost".try_into().unwrap(), stream))
                .await
                .unwrap();
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .unwrap();
            tokio::spawn(connection);
            sender
        }

        /// One request on a connection of its own.
        async fn post(&self, body: &str) -> Result<(u16, String), hyper::Error> {
            post(&mut self.connect().await, body).await
        }

        fn faults(&self) -> BTreeMap<Fault, u64> {
            self.proxy.statistics().faults
        }
    }

    async fn post(sender: &mut SendRequest<Full<Bytes>>, body: &str) -> Result<(u16, String), hyper::Error> {
        let request = Request::post("/http-bind")
            .header("host", "chaos.example")
            .header("content-type", "text/xml; charset=utf-8")
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        soon(async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        })
        .await
    }

    fn calm() -> HttpProfile {
        HttpProfile::calm()
    }

    #[tokio::test]
    async fn without_faults_requests_pass_and_connections_are_kept() {
        let scene = Scene::new(calm()).await;
        let mut sender = scene.connect().await;
        for number in 1..=20 {
            sender.ready().await.unwrap();
            let answer = post(&mut sender, "<body/>").await.unwrap();
            assert_eq!(answer, (200, format!("{number}: <body/>")));
        }
        let statistics = scene.proxy.close().await;
        assert_eq!(
            (statistics.connections, statistics.requests, statistics.failures),
            (1, 20, 0)
        );
        assert_eq!(statistics.bytes_to_server, 140);
        assert!(statistics.faults.is_empty());
    }

    #[tokio::test]
    async fn a_refused_request_never_reaches_the_server() {
        let scene = Scene::new(HttpProfile { refuse: 1.0, ..calm() }).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(scene.post("a").await.unwrap().0);
        }
        statuses.sort_unstable();
        statuses.dedup();
        assert_eq!(statuses, [502, 503, 504]);
        assert!(scene.server.bodies().is_empty());
        assert_eq!(scene.proxy.statistics().cuts, 0);
    }

    #[tokio::test]
    async fn a_reset_request_never_reaches_the_server() {
        let scene = Scene::new(HttpProfile { reset: 1.0, ..calm() }).await;
        let error = scene.post("a").await.unwrap_err();
        let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
        assert_eq!(
            cause.map(std::io::Error::kind),
            Some(std::io::ErrorKind::ConnectionReset),
            "{error:?}"
        );
        assert!(scene.server.bodies().is_empty());
        assert_eq!(scene.proxy.statistics().cuts, 1);
    }

    #[tokio::test]
    async fn a_lost_answer_reached_the_server() {
        let scene = Scene::new(HttpProfile {
            lose_answer: 1.0,
            ..calm()
        })
        .await;
        scene.post("a").await.unwrap_err();
        assert_eq!(scene.server.bodies(), ["a"]);
        assert_eq!(scene.proxy.statistics().cuts, 1);
    }

    #[tokio::test]
    async fn a_spoiled_answer_reached_the_server() {
        let scene = Scene::new(HttpProfile {
            spoil_answer: 1.0,
            ..calm()
        })
        .await;
        assert_eq!(scene.post("a").await.unwrap(), (502, String::new()));
        assert_eq!(scene.server.bodies(), ["a"]);
    }

    #[tokio::test]
    async fn a_repeated_request_gives_the_first_answer() {
        let scene = Scene::new(HttpProfile { repeat: 1.0, ..calm() }).await;
        assert_eq!(scene.post("a").await.unwrap(), (200, "1: a".to_owned()));
        scene.server.has_seen(2).await;
        assert_eq!(scene.server.bodies(), ["a", "a"]);
        assert_eq!(scene.faults(), BTreeMap::from([(Fault::Repeat, 1)]));
    }

    #[tokio::test]
    async fn an_overlapping_request_comes_before_the_first_is_answered() {
        let profile = HttpProfile {
            overlap: 1.0,
            copy_millis: 40..=40,
            ..calm()
        };
        let scene = Scene::new(profile).await;
        // The server holds the first until the second is there.
        let (status, text) = scene.post("hold").await.unwrap();
        assert_eq!(status, 200);
        assert!(text == "2: hold" || text == "1: hold", "{text}");
        assert_eq!(scene.server.bodies(), ["hold", "hold"]);
    }

    #[tokio::test]
    async fn a_late_answer_is_late() {
        let profile = HttpProfile {
            late_answer: 1.0,
            late_millis: 90..=90,
            ..calm()
        };
        let scene = Scene::new(profile).await;
        let begun = Instant::now();
        assert_eq!(scene.post("a").await.unwrap(), (200, "1: a".to_owned()));
        assert!(begun.elapsed() >= Duration::from_millis(90));
    }

    #[tokio::test]
    async fn bodies_in_single_bytes_arrive_whole() {
        let long = "<body>".to_owned() + &"0123456789".repeat(300);
        let request = HttpProfile {
            split_request: 1.0,
            split_bytes: 500..=500,
            ..calm()
        };
        let scene = Scene::new(request.clone()).await;
        assert_eq!(scene.post(&long).await.unwrap(), (200, format!("1: {long}")));
        assert_eq!(scene.server.bodies(), std::slice::from_ref(&long));

        let answer = HttpProfile {
            split_request: 0.0,
            split_answer: 1.0,
            ..request
        };
        let scene = Scene::new(answer).await;
        assert_eq!(scene.post(&long).await.unwrap(), (200, format!("1: {long}")));
        // The client sees many pieces; how many of the 500 are alone is up to the kernel.
        let mut sender = scene.connect().await;
        let request = Request::post("/http-bind")
            .header("host", "chaos.example")
            .header("content-type", "text/xml; charset=utf-8")
            .body(Full::new(Bytes::from(long)))
            .unwrap();
        let mut body = soon(sender.send_request(request)).await.unwrap().into_body();
        let mut pieces = 0;
        while let Some(frame) = soon(body.frame()).await {
            frame.unwrap();
            pieces += 1;
        }
        assert!(pieces > 20, "{pieces} pieces");
    }

    #[tokio::test]
    async fn while_faults_are_paused_requests_pass() {
        let scene = Scene::new(HttpProfile {
            refuse: 1.0,
            first: 1,
            ..calm()
        })
        .await;
        assert_eq!(scene.post("spared").await.unwrap().0, 200);
        scene.proxy.pause_faults();
        assert_eq!(scene.post("calm").await.unwrap().0, 200);
        scene.proxy.resume_faults();
        assert!(scene.post("refused").await.unwrap().0 >= 502);
        assert_eq!(scene.server.bodies(), ["spared", "calm"]);
    }

    #[tokio::test]
    async fn cut_all_ends_a_request_that_waits() {
        let scene = Scene::new(calm()).await;
        let cut = async {
            scene.server.has_seen(1).await;
            scene.proxy.cut_all();
        };
        let (answer, ()) = tokio::join!(scene.post("hold"), cut);
        answer.unwrap_err();
        assert_eq!(scene.proxy.statistics().cuts, 1);
        // The next connection is as good as new.
        assert_eq!(scene.post("a").await.unwrap().0, 200);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_a_502_and_not_a_fault() {
        let scene = Scene::new(calm()).await;
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        scene.proxy.set_target(nobody.local_addr().unwrap());
        drop(nobody);
        assert_eq!(scene.post("a").await.unwrap().0, 502);
        let statistics = scene.proxy.statistics();
        assert_eq!((statistics.failures, statistics.faults.len()), (1, 0));
        scene.proxy.set_target(scene.server.address);
        assert_eq!(scene.post("a").await.unwrap().0, 200);
    }

    #[tokio::test]
    async fn dropping_the_proxy_ends_requests_that_wait() {
        let Scene { server, proxy, tls } = Scene::new(calm()).await;
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let connector = TlsConnector::from(tls);
        let stream = soon(connector.connect("localhost".try_into().unwrap(), stream))
            .await
            .unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let end = async {
            server.has_seen(1).await;
            drop(proxy);
        };
        let (answer, ()) = tokio::join!(post(&mut sender, "hold"), end);
        answer.unwrap_err();
    }

    #[tokio::test]
    async fn whoever_does_not_speak_tls_is_sent_away() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let scene = Scene::new(calm()).await;
        let mut stream = TcpStream::connect(scene.proxy.address()).await.unwrap();
        stream.write_all(b"POST /http-bind HTTP/1.1\r\n\r\n").await.unwrap();
        let _ = soon(stream.read_to_end(&mut Vec::new())).await;
        assert_eq!(scene.proxy.statistics().requests, 0);
    }

    /// A client that sends each body until it has an answer, as BOSH does.
    async fn run(scene: Scene, requests: usize) -> (Vec<Event>, Statistics) {
        let mut sender = scene.connect().await;
        for number in 0..requests {
            let said = format!("request {number}");
            loop {
                if sender.ready().await.is_err() {
                    sender = scene.connect().await;
                }
                if let Ok((200, heard)) = post(&mut sender, &said).await {
                    assert!(heard.ends_with(&said), "{heard:?} to {said:?}");
                    break;
                }
            }
        }
        // Whatever happened, all arrived, and in order but for the copies.
        let mut seen = scene.server.bodies();
        let mut known = std::collections::BTreeSet::new();
        seen.retain(|body| known.insert(body.clone()));
        let said: Vec<_> = (0..requests)
            .map(|number| Bytes::from(format!("request {number}")))
            .collect();
        assert_eq!(seen, said);
        (scene.proxy.events(), scene.proxy.close().await)
    }

    #[tokio::test]
    async fn a_rough_run_loses_nothing_and_follows_the_plan() {
        let (events, statistics) = run(Scene::new(HttpProfile::rough()).await, 400).await;
        println!("{statistics}");
        assert!(statistics.cuts > 20);
        assert_eq!(statistics.faults.len(), 9, "{:?}", statistics.faults);
        let mut applied = BTreeMap::new();
        for event in &events {
            if let What::Fault(fault) = event.what {
                applied.insert(event.request.unwrap(), fault);
            }
        }
        let planned: BTreeMap<_, _> = (0..statistics.requests)
            .filter_map(|request| Some((request, HttpProfile::rough().decide(SEED, request).fault?)))
            .collect();
        assert_eq!(applied, planned);
    }

    #[test]
    fn certificates_come_from_files_too() {
        let folder = std::env::temp_dir().join(format!("epode-chaos-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (identity, other) = (Identity::new(), Identity::new());
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = write("certificate.pem", &identity.pem);
        let key = write("key.pem", &identity.key.serialize_pem());
        let foreign = write("foreign.pem", &other.key.serialize_pem());
        let results = (
            epode_chaos::server_tls_from_pem(&certificate, &key).is_ok(),
            epode_chaos::client_tls_from_pem(&certificate).is_ok(),
            epode_chaos::server_tls_from_pem(&certificate, &foreign)
                .map(drop)
                .map_err(|error| error.to_string()),
            epode_chaos::client_tls_from_pem(&folder.join("absent.pem"))
                .map(drop)
                .map_err(|error| error.to_string()),
        );
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(results.0 && results.1);
        assert!(results.2.unwrap_err().contains("certificate.pem"));
        assert!(results.3.unwrap_err().contains("absent.pem"));
    }
}
