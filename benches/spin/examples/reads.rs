//! The same answer by a component that reads its request first, as whoever has to decide something must: header fields, method, URL.

use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use spin_sdk::wasip3::{self, spawn, wit_future, wit_stream};

struct Reads;

wasip3::http::service::export!(Reads);

impl wasip3::exports::http::handler::Guest for Reads {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let fields = request.get_headers().copy_all();
        let is_url = |(name, _): &&(String, Vec<u8>)| name == "spin-full-url";
        let url = fields.iter().find(is_url).map(|(_, url)| String::from_utf8_lossy(url).into_owned());
        let size: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        if !matches!(request.get_method(), Method::Get) || size > 65_536 || url.is_none() {
            return Err(ErrorCode::HttpRequestDenied);
        }
        let headers = [
            ("content-type".to_owned(), b"application/json".to_vec()),
            ("content-length".to_owned(), BODY.len().to_string().into_bytes()),
            ("x-matched-route".to_owned(), b"route-000000".to_vec()),
        ];
        let headers = Fields::from_list(&headers).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (mut writer, body) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        spawn(async move {
            writer.write_all(BODY.to_vec()).await;
        });
        let (response, _) = Response::new(headers, Some(body), trailers);
        Ok(response)
    }
}

const BODY: &[u8] = br#"{"id":"0190b5a1-7c5e-7000-8000-000000000000","name":"postern","state":"open!!!"}"#;
