//! `postern tail` and `postern top`, in front of an admin interface that is played. tests/e2e/console.rs has a real one.

use crate::program::{Ran, postern};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const TOKEN: &str = "0123456789-0123456789-0123456789";

#[test]
fn filters_and_token_are_sent_and_nothing_of_the_token_is_shown() {
    let said = r#"{"requests":[{"sequence":4,"record":{"url.path":"/a\u001b[2J","http.response.status_code":404}}],"next":5,"missed":0,"sampled":0.5,"dropped":0}"#;
    let (address, asked) = play("200 OK", said);
    let url = format!("http://{address}/_admin/");
    let arguments = [
        "tail",
        "--once",
        "--url",
        &url,
        "--route",
        "a b",
        "--status",
        "4xx",
        "--slower-than",
        "2s",
        "--consumer",
        "x&y",
        "--path-prefix",
        "/a",
        "--lines",
        "7",
    ];
    let ran = run(&arguments, Some(TOKEN));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("404") && ran.out.contains("/a\u{fffd}[2J"), "{}", ran.out);
    assert_eq!(ran.err, "postern: 0.500 of all requests are told\n");
    let request = asked.recv().expect("a request");
    let line = request.lines().next().unwrap_or_default();
    assert_eq!(
        line,
        "GET /_admin/requests?limit=7&route=a%20b&status=4xx&slower_than=2000&consumer=x%26y&path_prefix=%2Fa HTTP/1.1"
    );
    assert!(request.to_lowercase().contains(&format!("authorization: bearer {TOKEN}")), "{request}");
}

#[test]
fn what_the_gateway_refuses_is_told() {
    for (status, body, why) in [
        (
            "403 Forbidden",
            r#"{"title":"Forbidden","detail":"This token may not."}"#,
            "403 Forbidden. This token may not.",
        ),
        ("404 Not Found", "<html>", "is --url right?"),
        ("200 OK", "hello", "is --url right?"),
        // Where a token was sent to, it is not sent on from.
        ("302 Found\r\nLocation: http://127.0.0.1:9/", "", "302"),
    ] {
        let (address, _asked) = play(status, body);
        let url = format!("http://{address}/_admin");
        for command in ["tail", "top"] {
            let ran = run(&[command, "--once", "--url", &url], Some(TOKEN));
            assert_eq!(ran.code, 2, "{command} {status}: {}", ran.out);
            assert!(ran.err.contains(why) && !ran.err.contains(TOKEN), "{command} {status}: {}", ran.err);
        }
    }
}

#[test]
fn a_token_goes_to_nobody_who_could_not_keep_it() {
    for (arguments, token, why) in [
        (&["top", "--once", "--url", "http://gateway.example/_admin"][..], Some(TOKEN), "--insecure"),
        (&["tail", "--once", "--url", "gateway.example"], Some(TOKEN), "needs a scheme"),
        (&["tail", "--once", "--url", "http://127.0.0.1:9"], None, "set POSTERN_ADMIN_TOKEN"),
        (&["tail", "--once", "--url", "http://127.0.0.1:9"], Some(TOKEN), "does not answer"),
        (&["top", "--once"], Some(TOKEN), "--url"),
        (&["tail", "--status", "600", "--url", "http://127.0.0.1:9"], Some(TOKEN), "a status like `404`"),
        (&["top", "--window", "1h", "--url", "http://127.0.0.1:9"], Some(TOKEN), "a number and a unit"),
        (&["top", "--window", "16m", "--url", "http://127.0.0.1:9"], Some(TOKEN), "from 10s to 15m"),
    ] {
        let ran = run(arguments, token);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.out);
        assert!(ran.err.contains(why), "{arguments:?}: {}", ran.err);
    }
}

fn run(arguments: &[&str], token: Option<&str>) -> Ran {
    let mut command = postern();
    command.args(arguments).env_remove("POSTERN_ADMIN_URL").env_remove("POSTERN_ADMIN_TOKEN");
    command.envs(token.map(|token| ("POSTERN_ADMIN_TOKEN", token)));
    Ran::of(command.output().expect("the program runs"))
}

/// A server that says the same to everybody, and what it was asked.
fn play(status: &str, body: &str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, asked) = channel();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.extend(byte);
            }
            // Nobody may listen any more.
            let _ = sender.send(String::from_utf8_lossy(&head).into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, asked)
}
