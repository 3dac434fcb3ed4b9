//! A component that does what a request tells it to: `/WHAT?ARGUMENT`. Errors are answers, in their own words.

use spin_sdk::key_value::Store;
use spin_sdk::variables;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Method, RequestOptions, Scheme};
use spin_sdk::wasip3::http::types::{Request as WasiRequest, Response as WasiResponse};
use spin_sdk::wasip3::{self, spawn, wit_future, wit_stream};
use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicU32, Ordering};

struct Probe;

wasip3::http::service::export!(Probe);

impl wasip3::exports::http::handler::Guest for Probe {
    async fn handle(request: WasiRequest) -> Result<WasiResponse, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (what, argument) = target.split_once('?').unwrap_or((&target, ""));
        match what {
            "/head" => Ok(text(head(&request))),
            "/count" => Ok(text(COUNT.fetch_add(1, Ordering::Relaxed).to_string())),
            "/variable" => Ok(text(shown(variables::get(argument).await))),
            "/file" => Ok(text(shown(std::fs::read_to_string(argument)))),
            "/write" => Ok(text(shown(std::fs::write(argument, "x")))),
            "/set" => Ok(text(shown(Fields::new().append(argument, b"x")))),
            "/key-value" => Ok(text(shown(key_value(argument).await))),
            "/fetch" => Ok(text(fetch(argument).await)),
            "/sleep" => {
                monotonic_clock::wait_for(milliseconds(argument)).await;
                Ok(text("slept".into()))
            }
            "/later" => {
                let pause = milliseconds(argument);
                spawn(async move {
                    monotonic_clock::wait_for(pause).await;
                    COUNT.store(1_000, Ordering::Relaxed);
                });
                Ok(text("now".into()))
            }
            "/echo" => Ok(echo(request)),
            "/fail" => Err(ErrorCode::LoopDetected),
            "/trap" => std::process::abort(),
            _ => Ok(text(format!("no such probe: {what}"))),
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

fn head(request: &WasiRequest) -> String {
    let mut text = format!(
        "{:?} {:?} {:?} {:?}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority(),
        request.get_path_with_query()
    );
    for (name, value) in request.get_headers().copy_all() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}

/// Body and trailers go back by the host, untouched.
fn echo(request: WasiRequest) -> WasiResponse {
    let (body, trailers) = WasiRequest::consume_body(request, wit_future::new(|| Ok(())).1);
    WasiResponse::new(Fields::new(), Some(body), trailers).0
}

/// `STORE/KEY=VALUE`: sets, reads, deletes, and lists before and after.
async fn key_value(argument: &str) -> Result<String, String> {
    let (label, pair) = argument.split_once('/').ok_or("no store")?;
    let store = Store::open(label).await.map_err(|error| format!("{error:?}"))?;
    let failed = |error| format!("{error:?}");
    if let Some((key, value)) = pair.split_once('=') {
        store.set(key, value.as_bytes()).await.map_err(failed)?;
        return Ok("set".into());
    }
    let value = store.get(pair).await.map_err(failed)?;
    let exists = store.exists(pair).await.map_err(failed)?;
    store.delete(pair).await.map_err(failed)?;
    let gone = !store.exists(pair).await.map_err(failed)?;
    Ok(format!("{:?} {exists} {gone}", value.map(|value| String::from_utf8_lossy(&value).into_owned())))
}

/// `AUTHORITY/PATH`, with half a second for the connection and for the first byte.
async fn fetch(argument: &str) -> String {
    let (authority, path) = argument.split_once('/').unwrap_or((argument, ""));
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(milliseconds("500")));
    let _ = options.set_first_byte_timeout(Some(milliseconds("500")));
    let (request, _) = WasiRequest::new(Fields::new(), None, wit_future::new(|| Ok(None)).1, Some(options));
    let set = request.set_method(&Method::Get).and(request.set_scheme(Some(&Scheme::Http)));
    if set
        .and(request.set_authority(Some(authority)))
        .and(request.set_path_with_query(Some(&format!("/{path}"))))
        .is_err()
    {
        return "not a URL".into();
    }
    match client::send(request).await {
        Ok(response) => response.get_status_code().to_string(),
        Err(code) => format!("{code:?}"),
    }
}

fn text(text: String) -> WasiResponse {
    let length = text.len().to_string().into_bytes();
    let headers = Fields::from_list(&[("content-length".to_owned(), length)]).unwrap_or_else(|_| Fields::new());
    let (mut writer, body) = wit_stream::new();
    spawn(async move {
        writer.write_all(text.into_bytes()).await;
    });
    WasiResponse::new(headers, Some(body), wit_future::new(|| Ok(None)).1).0
}

fn shown<T: Debug, E: Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{error:?}"),
    }
}

fn milliseconds(text: &str) -> u64 {
    text.parse::<u64>().unwrap_or(0) * 1_000_000
}
