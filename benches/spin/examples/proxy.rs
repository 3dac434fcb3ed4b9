//! The cheapest proxy that a component can be: everything goes to the origin as it came, and back, without a copy.

use spin_sdk::variables;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use spin_sdk::wasip3::{self, wit_future};
use std::sync::OnceLock;

struct Proxy;

wasip3::http::service::export!(Proxy);

impl wasip3::exports::http::handler::Guest for Proxy {
    async fn handle(received: Request) -> Result<Response, ErrorCode> {
        let origin = origin().await?;
        let (method, target) = (received.get_method(), received.get_path_with_query());
        let headers = without_spin(&received.get_headers());
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Request::consume_body(received, done);
        let (request, _) = Request::new(headers, Some(body), trailers, None);
        let unusable = |()| ErrorCode::HttpRequestUriInvalid;
        request.set_method(&method).map_err(unusable)?;
        request.set_scheme(Some(&Scheme::Http)).map_err(unusable)?;
        request.set_authority(Some(origin)).map_err(unusable)?;
        request.set_path_with_query(target.as_deref()).map_err(unusable)?;

        let received = client::send(request).await?;
        let (status, headers) = (received.get_status_code(), received.get_headers());
        let (_, done) = wit_future::new(|| Ok(()));
        let (body, trailers) = Response::consume_body(received, done);
        let (response, _) = Response::new(headers, Some(body), trailers);
        response.set_status_code(status).map_err(|()| ErrorCode::HttpProtocolError)?;
        Ok(response)
    }
}

/// What any proxy has to do: Spin's own headers are not the origin's business.
fn without_spin(headers: &Fields) -> Fields {
    let headers = headers.clone();
    for name in SPIN {
        // The name is valid and the copy can be changed, so this cannot fail.
        let _ = headers.delete(name);
    }
    headers
}

async fn origin() -> Result<&'static str, ErrorCode> {
    static ORIGIN: OnceLock<String> = OnceLock::new();
    if let Some(origin) = ORIGIN.get() {
        return Ok(origin);
    }
    let origin = variables::get("origin").await.map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    Ok(ORIGIN.get_or_init(|| origin))
}

const SPIN: [&str; 7] = [
    "spin-path-info",
    "spin-full-url",
    "spin-matched-route",
    "spin-base-path",
    "spin-raw-component-route",
    "spin-component-route",
    "spin-client-addr",
];
