//! What crosses the boundary: requests and responses as the glue packs them, calls and replies as the glue reads them.
//!
//! In: lines of text, then the header fields as `name NUL value LF`. Out: lines that begin with a letter (what to do) or
//! with `=`, `+`, `-` (an edit of the header fields of what was named last). workerd decodes header values as UTF-8 and
//! encodes them the same way, so the bytes here are the wire's, save that what is not UTF-8 arrives as U+FFFD; the
//! runtime's own header object keeps those bytes, because only edits are applied to it.

use crate::platform::{Outcome, Stream};
use bytes::Bytes;
use gateway_core::http::{Body, Edit, Headers, Incoming, Peer, Response, Scheme};
use gateway_core::platform::{Call, Failure, FetchError};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// Reads a request: method, URL, client address (or nothing), country, data centre; then the header fields.
pub fn read_request(packed: &[u8], has_body: bool) -> Option<Incoming<Stream>> {
    let mut rest = packed;
    let mut line = || -> Option<&str> {
        let end = rest.iter().position(|&byte| byte == b'\n')?;
        let (line, behind) = rest.split_at(end);
        rest = &behind[1..];
        std::str::from_utf8(line).ok()
    };
    let (method, url) = (line()?.to_owned(), line()?);
    let (address, country, data_centre) = (line()?, line()?, line()?);
    let headers = Headers::from_block(rest.to_vec());
    let (scheme, authority, target) = split_url(url, headers.text("host"))?;
    let address = if address.is_empty() { headers.text("cf-connecting-ip").unwrap_or_default() } else { address };
    Some(Incoming {
        method,
        scheme,
        authority: authority.to_owned(),
        target: target.to_owned(),
        peer: Peer { address: read_address(address), country: given(country), data_centre: given(data_centre), certificate: None },
        body: if has_body { Body::Stream(Stream::Request) } else { Body::Empty },
        headers,
    })
}

/// Takes the URL apart where the runtime joined it: scheme, `://`, `Host`, request target, none of them looked at.
///
/// `Host: a/b` with the target `/c` makes `http://a/b/c`; whoever splits that at the slash takes the host's end for a path.
fn split_url<'a>(url: &'a str, host: Option<&str>) -> Option<(Scheme, &'a str, &'a str)> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    // Where somebody in front of the Worker rewrote the URL, the URL says more than the field.
    let end = match host {
        Some(host) if rest.starts_with(host) => host.len(),
        Some(_) | None => rest.find(['/', '?']).unwrap_or(rest.len()),
    };
    let (authority, target) = rest.split_at(end);
    Some((scheme, authority, target))
}

/// An address, with or without a port.
fn read_address(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|peer| peer.ip()))
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads what a call brought: a status and header fields, or the code of a failure (below 100) and words for the log.
pub fn read_outcome(call: u32, status: u32, packed: &[u8]) -> Outcome {
    let error = match status {
        0 => FetchError::Unreachable,
        1 => FetchError::Reset,
        2 => FetchError::Timeout,
        3 => FetchError::BodyTooLarge,
        4 => FetchError::ClientGone,
        5 => FetchError::Forbidden,
        101..=599 => {
            return Ok(Response {
                status: status as u16,
                headers: Headers::from_block(packed.to_vec()),
                body: Body::Stream(Stream::Response(call)),
            });
        }
        // RFC 9110 §15: there is no such status, so this is no answer.
        _ => return Err(Failure { error: FetchError::Reset, detail: format!("it answered with the status {status}") }),
    };
    Err(Failure { error, detail: String::from_utf8_lossy(packed).into_owned() })
}

/// Writes a call: `F number NUL method NUL url NUL timeout NUL body-limit NUL body`, then the edits of the client's fields.
pub fn write_call(out: &mut String, number: u32, call: &Call<Stream>) {
    let timeout = call.timeout.as_millis();
    let _ = write!(out, "F{number}\0{}\0{}://{}{}\0{timeout}\0", call.method, call.scheme, call.authority, call.target);
    if let Some(limit) = call.body_limit {
        let _ = write!(out, "{limit}");
    }
    out.push_str(match &call.body {
        Body::Empty => "\0-\n",
        Body::Bytes(_) => "\0b\n",
        Body::Stream(_) => "\0s\n",
    });
    write_edits(out, &call.headers, if call.upgrade { &["upgrade"] } else { &[] });
}

/// Writes that nobody waits for a call any more: `A number`.
pub fn write_abort(out: &mut String, number: u32) {
    let _ = writeln!(out, "A{number}");
}

/// Writes the answer: `R status NUL call`, then the edits of that call's response fields; without a call, all fields. A
/// body in memory is returned; the glue finds it beside the text.
pub fn write_reply(out: &mut String, response: Response<Stream>) -> Bytes {
    let _ = write!(out, "R{}\0", response.status);
    match response.body {
        Body::Stream(Stream::Response(call)) => {
            let _ = writeln!(out, "{call}");
            write_edits(out, &response.headers, &["upgrade"]);
            Bytes::new()
        }
        body => {
            out.push_str(if matches!(body, Body::Stream(Stream::Request)) { "r\n" } else { "\n" });
            for (name, value) in response.headers.iter() {
                write_line(out, '+', name, value);
            }
            if let Body::Bytes(bytes) = body { bytes } else { Bytes::new() }
        }
    }
}

/// Writes that there is no reply because the adapter itself failed; the glue answers.
pub fn write_failure(out: &mut String) {
    out.push_str("!\n");
}

fn write_edits(out: &mut String, headers: &Headers, kept: &[&str]) {
    for edit in headers.edits() {
        match edit {
            Edit::Set(name, value) => write_line(out, '=', name, value),
            Edit::Append(name, value) => write_line(out, '+', name, value),
            Edit::Remove(name) if dropped_by_runtime(name) || kept.contains(&name) => {}
            Edit::Remove(name) => {
                let _ = writeln!(out, "-{name}");
            }
        }
    }
}

fn write_line(out: &mut String, sign: char, name: &str, value: &[u8]) {
    let _ = writeln!(out, "{sign}{name}\0{}", String::from_utf8_lossy(value));
}

/// Fields of one connection that workerd leaves out of every message by itself. Removing them would be an edit for
/// nothing, and an edited response has to be built anew.
fn dropped_by_runtime(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use wasm_bindgen_test::wasm_bindgen_test;

    fn read(packed: &str) -> Incoming<Stream> {
        read_request(packed.as_bytes(), false).expect("what the glue packs")
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_arrives_as_it_was_sent() {
        let request = read("PURGE\nhttps://h:81/a/../b?x=%zz\n192.0.2.1:4711\nDE\nFRA\nhost\0h:81\nx-é\0\nx-a\0ä\n");
        assert_eq!((request.method.as_str(), request.scheme), ("PURGE", Scheme::Https));
        assert_eq!((request.authority.as_str(), request.target.as_str()), ("h:81", "/a/../b?x=%zz"));
        let peer = Peer {
            address: Some([192, 0, 2, 1].into()),
            country: Some("DE".to_owned()),
            data_centre: Some("FRA".to_owned()),
            certificate: None,
        };
        assert_eq!(request.peer, peer);
        assert_eq!(request.headers.get("x-a"), Some("ä".as_bytes()));
        assert!(matches!(request.body, Body::Empty));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_end_of_the_host_is_not_taken_for_a_path() {
        for (url, host, authority, target) in [
            ("http://a/b/c", "a/b", "a/b", "/c"),
            ("http://u:p@a/c", "u:p@a", "u:p@a", "/c"),
            ("http://a?b/c", "a?b", "a?b", "/c"),
            ("http://a, b/c", "a, b", "a, b", "/c"),
            ("http://a*", "a", "a", "*"),
            // The development server of wrangler writes the URL anew.
            ("http://localhost:8787/c?d", "example.com", "localhost:8787", "/c?d"),
        ] {
            let request = read(&format!("GET\n{url}\n\n\n\nhost\0{host}\n"));
            assert_eq!((request.authority.as_str(), request.target.as_str()), (authority, target), "{url}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_platforms_word_on_the_address_outranks_the_clients() {
        let field = "cf-connecting-ip\x006.6.6.6\n";
        for (told, address) in
            [("127.0.0.1:1", Some("127.0.0.1")), ("[::1]:1", Some("::1")), ("::1", Some("::1")), ("", Some("6.6.6.6"))]
        {
            let request = read(&format!("GET\nhttp://h/\n{told}\n\n\n{field}"));
            assert_eq!(request.peer.address.map(|address| address.to_string()).as_deref(), address, "{told}");
        }
        assert_eq!(read("GET\nhttp://h/\n\n\n\n").peer, Peer::default());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_call_says_what_to_send_and_what_to_change() {
        let mut headers = Headers::from_block(b"connection\0upgrade, x-a\nupgrade\0websocket\nx-a\x001\n".to_vec());
        for name in ["connection", "upgrade", "x-a"] {
            headers.remove(name);
        }
        headers.set("via", "1.1 postern");
        headers.append("x-b", "ä");
        let mut call = Call {
            method: "POST".to_owned(),
            scheme: Scheme::Http,
            authority: "o:1".to_owned(),
            target: "/p?q".to_owned(),
            host: None,
            headers,
            body: Body::Stream(Stream::Request),
            body_limit: Some(10),
            timeout: Duration::from_secs(2),
            interest: gateway_core::platform::Interest::Everything,
            upgrade: false,
        };
        let mut out = String::new();
        write_call(&mut out, 3, &call);
        assert_eq!(out, "F3\0POST\0http://o:1/p?q\x002000\x0010\0s\n-upgrade\n-x-a\n=via\x001.1 postern\n+x-b\0ä\n");

        call.upgrade = true;
        (call.body, call.body_limit) = (Body::Empty, None);
        out.clear();
        write_call(&mut out, 0, &call);
        assert_eq!(out, "F0\0POST\0http://o:1/p?q\x002000\0\0-\n-x-a\n=via\x001.1 postern\n+x-b\0ä\n");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_outcome_is_a_response_or_a_failure() {
        let response = read_outcome(2, 204, b"x-a\x001\n").expect("a response");
        assert_eq!((response.status, response.headers.text("x-a")), (204, Some("1")));
        assert!(matches!(response.body, Body::Stream(Stream::Response(2))));
        for (code, error) in [(1, FetchError::Reset), (2, FetchError::Timeout), (3, FetchError::BodyTooLarge)] {
            let failure = read_outcome(0, code, b"why").expect_err("a failure");
            assert_eq!(failure, Failure { error, detail: "why".to_owned() });
        }
        for status in [99, 100, 600, 999] {
            assert_eq!(read_outcome(0, status, b"").expect_err("no such status").error, FetchError::Reset);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_reply_names_the_response_that_it_edits() {
        let mut headers = Headers::from_block(b"connection\0x-a\nx-a\x001\nset-cookie\0a\n".to_vec());
        headers.remove("connection");
        let mut out = String::new();
        let reply = Response { status: 200, headers: headers.clone(), body: Body::Stream(Stream::Response(7)) };
        write_reply(&mut out, reply);
        assert_eq!(out, "R200\x007\n", "what the runtime leaves out by itself is no edit");

        headers.append("set-cookie", "b");
        out.clear();
        write_reply(
            &mut out,
            Response { status: 200, headers: headers.clone(), body: Body::Stream(Stream::Response(7)) },
        );
        assert_eq!(out, "R200\x007\n+set-cookie\0b\n");

        out.clear();
        let bytes = write_reply(&mut out, Response { status: 403, headers, body: Body::Bytes("no".into()) });
        assert_eq!((out.as_str(), &bytes[..]), ("R403\0\n+x-a\x001\n+set-cookie\0a\n+set-cookie\0b\n", &b"no"[..]));
    }
}
