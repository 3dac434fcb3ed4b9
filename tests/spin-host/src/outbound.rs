//! Requests of the component: to the hosts it is allowed, over connections that the whole application shares, as in Spin.

use crate::allowed_hosts::AllowedHosts;
use crate::error::Error as LoadError;
use bytes::Bytes;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// What an instance sends requests through. Clones share the connections.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    allowed: AllowedHosts,
    /// HTTP/1.1 in clear text, and over TLS whatever ALPN settles.
    client: Client<Connector, WasiBody>,
    /// HTTP/2 in clear text.
    prior_knowledge: Client<Connector, WasiBody>,
    /// The one authority that speaks it.
    prior_knowledge_authority: Option<Authority>,
}

impl Outbound {
    /// Trusts the usual certificates, and those of `roots` (PEM) besides.
    pub fn new(allowed: AllowedHosts, roots: Option<&Path>) -> Result<Self, LoadError> {
        let connector = Connector { tls: TlsConnector::from(Arc::new(tls(roots)?)) };
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(DEFAULT_TIMEOUT);
        let client = builder.build(connector.clone());
        let prior_knowledge = builder.http2_only(true).build(connector);
        let prior_knowledge_authority =
            std::env::var("SPIN_OUTBOUND_H2C_PRIOR_KNOWLEDGE").ok().and_then(|text| text.parse().ok());
        Ok(Self(Arc::new(Shared { allowed, client, prior_knowledge, prior_knowledge_authority })))
    }

    /// Whether the component may speak to this address.
    pub fn permits(&self, address: &Uri) -> bool {
        self.0.allowed.permit(address)
    }

    async fn send(self, mut request: Request<WasiBody>, options: RequestOptions) -> Result<Response<WasiBody>, Error> {
        if !self.0.allowed.permit(request.uri()) {
            eprintln!(
                "postern-spin-host: a request to {} was refused: add it to allowed_outbound_hosts",
                request.uri().authority().map_or("nowhere", Authority::as_str)
            );
            return Err(Error::HttpRequestDenied);
        }
        let clear = request.uri().scheme() == Some(&Scheme::HTTP);
        let client = if clear && request.uri().authority() == self.0.prior_knowledge_authority.as_ref() {
            // HTTP/2 carries the authority by itself, and some servers refuse both.
            request.headers_mut().remove(header::HOST);
            &self.0.prior_knowledge
        } else {
            &self.0.client
        };
        let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let sent = CONNECT_TIMEOUT.scope(connect, client.request(request));
        let response = timeout(options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT), sent)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| failure(&error))?;
        let between = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        Ok(response.map(|body| {
            BetweenBytes { body, limit: between, timer: Box::pin(tokio::time::sleep(between)) }.boxed_unsync()
        }))
    }
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send> {
        let outbound = self.clone();
        Box::new(async move {
            let response = outbound.send(request, options.unwrap_or_default()).await?;
            // The pool drives the connections; there is nothing left to wait for.
            Ok((response, Box::new(std::future::ready(Ok(()))) as Transmission))
        })
    }
}

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What Spin makes of a failed exchange: what the connector says, and `HttpProtocolError` for everything after it.
fn failure(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause = error.source();
    while let Some(this) = cause {
        if let Some(unreached) = this.downcast_ref::<Unreached>() {
            return unreached.into();
        }
        if let Some(Error::HttpRequestBodySize(size)) = this.downcast_ref::<Error>() {
            return Error::HttpRequestBodySize(*size);
        }
        cause = this.source();
    }
    Error::HttpProtocolError
}

fn tls(roots: Option<&Path>) -> Result<rustls::ClientConfig, LoadError> {
    let mut trusted = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    if let Some(path) = roots {
        let wrong = |problem: String| LoadError::Certificates { path: path.to_path_buf(), problem };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))? {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            trusted.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| LoadError::Engine(error.to_string()))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Opens connections. The time they may take comes with the request that asks for one.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Unreached;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unreached>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreached>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT.try_with(|limit| *limit).unwrap_or(DEFAULT_TIMEOUT);
        let tls = self.tls.clone();
        Box::pin(async move {
            let stream = timeout(limit, connect(&uri, tls)).await.map_err(|_| Unreached::Timeout)??;
            Ok(TokioIo::new(stream))
        })
    }
}

async fn connect(uri: &Uri, tls: TlsConnector) -> Result<Stream, Unreached> {
    let host = uri.host().ok_or(Unreached::Dns)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let addresses: Vec<_> = tokio::net::lookup_host((host.as_str(), port)).await.map_err(|_| Unreached::Dns)?.collect();
    let stream = TcpStream::connect(addresses.as_slice()).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrNotAvailable => Unreached::Dns,
        _ => Unreached::Refused,
    })?;
    if !secure {
        return Ok(Stream::Clear(stream));
    }
    let name = ServerName::try_from(host).map_err(|_| Unreached::Dns)?;
    let stream = tls.connect(name, stream).await.map_err(|error| {
        let certificate = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match certificate {
            Some(rustls::Error::InvalidCertificate(_)) => Unreached::Certificate,
            Some(_) | None => Unreached::Tls,
        }
    })?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy)]
enum Unreached {
    Dns,
    Refused,
    Timeout,
    Tls,
    Certificate,
}

impl fmt::Display for Unreached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unreached::Dns => "address not available",
            Unreached::Refused => "connection refused",
            Unreached::Timeout => "connection timed out",
            Unreached::Tls => "TLS failed",
            Unreached::Certificate => "certificate refused",
        })
    }
}

impl std::error::Error for Unreached {}

impl From<&Unreached> for Error {
    fn from(unreached: &Unreached) -> Self {
        match unreached {
            Unreached::Dns => Error::DnsError { rcode: Some(unreached.to_string()), info_code: Some(0) },
            Unreached::Refused => Error::ConnectionRefused,
            Unreached::Timeout => Error::ConnectionTimeout,
            Unreached::Tls => Error::TlsProtocolError,
            Unreached::Certificate => Error::TlsCertificateError,
        }
    }
}

enum Stream {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Stream::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                Connected::new().negotiated_h2()
            }
            Stream::Tls(_) | Stream::Clear(_) => Connected::new(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_write(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buffer),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Clear(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Clear(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A response's body that fails when nothing comes for too long.
struct BetweenBytes {
    body: hyper::body::Incoming,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Body for BetweenBytes {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let next = Instant::now() + self.limit;
                self.timer.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Error::HttpProtocolError)))
            }
            Poll::Pending => self.timer.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

tokio::task_local! {
    static CONNECT_TIMEOUT: Duration;
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
