//! The listening side: requests in, as Spin hands them to a component, and responses out.

use crate::application::{Application, Handler};
use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use wasmtime_wasi_http::{Error, WasiBody};

/// What answers requests, for every connection; can be exchanged while they run.
#[derive(Clone)]
pub struct Server(Arc<RwLock<Handler>>);

impl Server {
    /// Answers with this application.
    pub fn new(application: Arc<Application>) -> Self {
        Self(Arc::new(RwLock::new(application.handler())))
    }

    /// New requests go to instances of this application. Requests in flight end where they are, and the old instances
    /// go when they have been idle for a second.
    pub fn replace(&self, application: Arc<Application>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = application.handler();
    }

    /// Takes connections until `stop`, then lets requests in flight end for at most `grace`.
    pub async fn run(self, listener: TcpListener, stop: impl Future<Output = ()>, grace: Duration) {
        let connections = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => self.serve(stream, client, &connections),
                Err(error) => {
                    // Out of file descriptors, or the client is gone already: neither ends the host.
                    eprintln!("postern-spin-host: a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(listener);
        if tokio::time::timeout(grace, connections.shutdown()).await.is_err() {
            eprintln!("postern-spin-host: requests were still in flight and are cut off");
        }
    }

    fn serve(&self, stream: TcpStream, client: SocketAddr, connections: &GracefulShutdown) {
        // Spin does not set TCP_NODELAY either: what stalls there should stall here.
        let server = self.clone();
        let service = hyper::service::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request, client).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            // A client that goes away or speaks no HTTP is its own affair.
            let _ = connection.await;
        });
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> Response<WasiBody> {
        match request.uri().path().strip_prefix(WELL_KNOWN) {
            Some("health") => return plain(StatusCode::OK, "OK"),
            Some(_) => return plain(StatusCode::NOT_FOUND, ""),
            None => {}
        }
        let handler = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let request = match prepare(request, handler.state().application(), client) {
            Ok(request) => request,
            Err(Unanswered::NoRoute) => return plain(StatusCode::NOT_FOUND, ""),
            Err(Unanswered::Refused(why)) => {
                eprintln!("postern-spin-host: a request was refused: {why}");
                return plain(StatusCode::INTERNAL_SERVER_ERROR, "");
            }
        };
        handler.handle((), request).await.unwrap_or_else(|error| {
            eprintln!("postern-spin-host: a request failed: {error:#}");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "")
        })
    }
}

/// Why a request does not reach the component.
#[derive(Debug, PartialEq, Eq)]
enum Unanswered {
    NoRoute,
    Refused(&'static str),
}

/// The request as the component sees it: an absolute URI, and Spin's own headers after the client's.
fn prepare(
    request: Request<Incoming>,
    application: &Application,
    client: SocketAddr,
) -> Result<Request<WasiBody>, Unanswered> {
    let (mut parts, body) = request.into_parts();
    let rest = application.route.find(parts.uri.path()).ok_or(Unanswered::NoRoute)?.to_owned();
    if parts.headers.values().any(|value| std::str::from_utf8(value.as_bytes()).is_err()) {
        return Err(Unanswered::Refused("a header value is not UTF-8"));
    }
    let authority = authority(&parts.uri, &parts.headers)?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let pattern = application.route.pattern();
    let ours = [
        ("spin-path-info", rest),
        ("spin-full-url", format!("http://{authority}{target}")),
        ("spin-matched-route", pattern.clone()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", pattern),
        ("spin-component-route", application.route.base().to_owned()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in ours {
        let value = HeaderValue::try_from(value).map_err(|_| Unanswered::Refused("its URI does not fit a header"))?;
        // Appended, not set: a client's own `spin-client-addr` comes first.
        parts
            .headers
            .try_append(HeaderName::from_static(name), value)
            .map_err(|_| Unanswered::Refused("it has too many headers"))?;
    }
    let mut uri = parts.uri.into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    uri.path_and_query.get_or_insert(http::uri::PathAndQuery::from_static("/"));
    parts.uri = Uri::from_parts(uri).map_err(|_| Unanswered::Refused("its URI is none"))?;
    Ok(Request::from_parts(parts, body.map_err(Error::from).boxed_unsync()))
}

fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Unanswered> {
    match headers.get(header::HOST) {
        Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| Unanswered::Refused("its Host is no authority")),
        None => Ok(uri.authority().cloned().unwrap_or(Authority::from_static("localhost"))),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(Error::from).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Paths that belong to Spin.
const WELL_KNOWN: &str = "/.well-known/spin/";
