//! HTTP/1.1 on connections of our own: where a URL leads, one request on one connection, and bodies with a limit.

use epode::Failure;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_ENCODING, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::task::AbortHandle;

use crate::link::Environment;
use crate::tls::{self, ClientIdentity, Seen, Wire};

/// The scheme with TLS, and the one without.
pub(crate) type Schemes = (&'static str, &'static str);

pub(crate) const HTTP: Schemes = ("https", "http");
pub(crate) const WEBSOCKET: Schemes = ("wss", "ws");

/// What a WebSocket and an HTTP request share of ALPN (RFC 7301): they are HTTP/1.1.
const ALPN: &[u8] = b"http/1.1";

/// Where requests go.
#[derive(Debug)]
pub(crate) struct Target {
    host: String,
    port: u16,
    /// The name in the server's certificate; `None` without TLS.
    name: Option<ServerName<'static>>,
    host_header: HeaderValue,
    path: Uri,
}

impl Target {
    /// `server_name` is the name that the server's certificate has to be valid for.
    pub(crate) fn new(url: &str, server_name: &str, schemes: Schemes) -> Result<Self, Failure> {
        let wrong = || Failure::Other {
            reason: format!("{url:?} is not a URL of {} with a host", schemes.0),
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let tls = match uri.scheme_str() {
            Some(scheme) if scheme.eq_ignore_ascii_case(schemes.0) => true,
            Some(scheme) if scheme.eq_ignore_ascii_case(schemes.1) => false,
            Some(_) | None => return Err(wrong()),
        };
        let name = if tls {
            Some(ServerName::try_from(server_name.to_owned()).map_err(|_| wrong())?)
        } else {
            None
        };
        Ok(Self {
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host: bare(authority.host()).to_owned(),
            name,
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?,
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .parse()
                .map_err(|_| wrong())?,
        })
    }

    /// A request to it.
    pub(crate) fn request<B>(&self, method: Method, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(HOST, self.host_header.clone());
        request
    }

    /// A connection to it, with what its TLS showed if it has TLS.
    pub(crate) async fn connect(
        &self,
        environment: &Environment,
        identity: Option<&ClientIdentity>,
    ) -> Result<(Wire, Option<Seen>), Failure> {
        let stream = environment.dialer.connect(&self.host, self.port).await?;
        let Some(name) = &self.name else {
            return Ok((Box::new(stream), None));
        };
        let secured = tls::secure(&environment.tls, identity, Some(ALPN), name.clone(), stream).await?;
        Ok((secured.wire, Some(secured.seen)))
    }
}

/// A host without the brackets of an IPv6 literal.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Full<Bytes>>,
    pub(crate) seen: Option<Seen>,
    driver: AbortHandle,
}

impl Connection {
    pub(crate) async fn new(wire: Wire, seen: Option<Seen>) -> Result<Self, Failure> {
        let (sender, connection) = http1::handshake(TokioIo::new(wire))
            .await
            .map_err(|error| tls::http_failure(&error))?;
        // Its error reaches the request that was on it, or the connection was idle and is not taken again.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { sender, seen, driver })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The whole body, and never more than `max` bytes of it in memory.
pub(crate) async fn read(response: Response<Incoming>, max: usize) -> Result<Vec<u8>, Failure> {
    let coded = response.headers().get(CONTENT_ENCODING);
    if coded.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::Http {
            reason: "it is compressed, which was not asked for".to_owned(),
        });
    }
    let too_large = || Failure::Http {
        reason: format!("it is larger than {max} bytes"),
    };
    let mut body = response.into_body();
    let announced = body.size_hint().lower();
    if announced > u64::try_from(max).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut whole = Vec::with_capacity(usize::try_from(announced).unwrap_or(0).min(64 * 1024));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| tls::http_failure(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len().saturating_add(data.len()) > max {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// A document, by GET over verified HTTPS (XEP-0156 §4).
pub(crate) async fn document(environment: &Environment, url: &str, max: usize) -> Result<Vec<u8>, Failure> {
    let host = url.parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host).map_or("", bare);
    let target = Target::new(url, host, HTTP)?;
    if target.name.is_none() {
        return Err(Failure::Other {
            reason: format!("{url:?} is not a URL of https: a document that anybody could have written says nothing"),
        });
    }
    // No client certificate: whoever serves the document has no need to know who asks.
    let (wire, _) = target.connect(environment, None).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire))
        .await
        .map_err(|error| tls::http_failure(&error))?;
    let answer = async {
        let response = sender
            .send_request(target.request(Method::GET, Empty::<Bytes>::new()))
            .await
            .map_err(|error| tls::http_failure(&error))?;
        match response.status() {
            StatusCode::OK => read(response, max).await,
            status => Err(Failure::Http {
                reason: format!("its status is {}", status.as_u16()),
            }),
        }
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may be over before the answer was looked at.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_keeps_the_port_in_the_host_header_and_drops_brackets() {
        let target = Target::new("https://[::1]:7443/http-bind?x=1", "::1", HTTP).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 7443));
        assert_eq!(target.host_header, "[::1]:7443");
        assert_eq!(target.path.to_string(), "/http-bind?x=1");
        assert_eq!(Target::new("https://a.example", "a.example", HTTP).unwrap().port, 443);
        assert_eq!(
            Target::new("WSS://a.example/ws", "a.example", WEBSOCKET).unwrap().port,
            443
        );
        assert!(
            Target::new("http://a.example/", "a.example", HTTP)
                .unwrap()
                .name
                .is_none()
        );
        assert!(Target::new("ftp://a.example/", "a.example", HTTP).is_err());
        assert!(Target::new("https://a.example/", "a.example", WEBSOCKET).is_err());
    }
}
