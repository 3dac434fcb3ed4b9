//! The same answer by a component that reads its request first, as whoever has to decide something must: header fields, method, URL.

use spin_sdk::wasip3;
use spin_sdk::wasip3::http::types::{ErrorCode, Method, Request, Response};

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
        postern_bench_spin::answer(&[("x-matched-route", "route-000000")])
    }
}
