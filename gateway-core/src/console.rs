//! The console: a page for people, which asks the admin interface that serves it.
//!
//! It is made of the files of `gateway-core/console/`, bundled by `make console`. There is nothing in it that anybody may
//! not see: the token is typed into it, and everything else comes with the token.

use crate::http::{self, Body, Headers, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Where it is, behind the path of the admin interface.
pub const PATH: &str = "console/";

/// What may happen in the page: its own script and style, and questions to where it is from. Nothing is made of a text but text, and nobody
/// else shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// One of the page's files.
struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

const FILES: [File; 3] = [
    File { name: "", kind: "text/html; charset=utf-8", bytes: include_bytes!("../console/built/index.html") },
    File {
        name: "console.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../console/built/console.css"),
    },
    File {
        name: "console.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../console/built/console.js"),
    },
];

/// Answers a `GET` or `HEAD` of something of the page: by what stands behind the admin interface's path, as in `console/console.js`.
/// `None`: it is nothing of the page.
pub fn answer<S>(path: &str, request: &Headers) -> Option<Response<S>> {
    if path == PATH.trim_end_matches('/') {
        // Relative to where it was asked, whatever the interface's path is. The page's own references need the slash.
        return Some(respond(308, &[("location", PATH)], Bytes::new()));
    }
    let name = path.strip_prefix(PATH)?;
    let file = FILES.iter().find(|file| file.name == name)?;
    let tag = tag(file.bytes);
    let fields = [
        ("content-type", file.kind),
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        // Asked about each time, so that page and gateway are never of two versions.
        ("cache-control", "no-cache"),
        ("etag", &tag),
    ];
    if http::list(request, "if-none-match").any(|known| known == "*" || known.trim_start_matches("W/") == tag) {
        return Some(respond(304, &fields[1..], Bytes::new()));
    }
    Some(respond(200, &fields, Bytes::from_static(file.bytes)))
}

/// Tells this version of a file from others.
fn tag(bytes: &[u8]) -> String {
    let digest: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digest}\"")
}

fn respond<S>(status: u16, fields: &[(&str, &str)], body: Bytes) -> Response<S> {
    let mut headers = Headers::new();
    for (name, value) in fields {
        headers.set(name, value);
    }
    if status == 304 {
        // It has no body (RFC 9110 §15.4.5), and the length would be that of the file.
        return Response { status, headers, body: Body::Empty };
    }
    headers.set("content-length", body.len().to_string());
    Response { status, headers, body: Body::Bytes(body) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, fields: &[(&str, &str)]) -> Option<Response<()>> {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.receive(name, value.as_bytes());
        }
        answer(path, &headers)
    }

    #[test]
    fn the_page_is_there_and_nothing_beside_it() {
        for (path, status) in [
            ("console", Some(308)),
            ("console/", Some(200)),
            ("console/console.js", Some(200)),
            ("console/console.css", Some(200)),
            ("console/index.html", None),
            ("console/console.js/", None),
            ("consoles", None),
            ("", None),
        ] {
            let response = asked(path, &[]);
            assert_eq!(response.as_ref().map(|response| response.status), status, "{path}");
            if let Some(Response { status: 200, headers, body: Body::Bytes(bytes) }) = response {
                assert!(!bytes.is_empty() && !headers.contains("content-encoding"), "{path} is as it is");
                assert_eq!(headers.content_length(), Some(bytes.len() as u64));
                assert!(
                    headers.text("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
                );
            }
        }
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = asked("console/console.js", &[]).expect("an answer");
        let tag = first.headers.text("etag").expect("a tag").to_owned();
        let again =
            asked("console/console.js", &[("if-none-match", &format!("\"other\", W/{tag}"))]).expect("an answer");
        assert_eq!((again.status, again.headers.contains("content-length")), (304, false));
        let other = asked("console/console.css", &[("if-none-match", &tag)]).expect("an answer");
        assert_eq!(other.status, 200);
    }
}
