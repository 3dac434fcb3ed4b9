#![no_main]
//! Cookies of a login, sealed texts and sessions: what a client sends is read as what was given to it, or not at all.

use gateway_core::http::Headers;
use gateway_core::policy::authenticate::login::cookie::Cookies;
use gateway_core::policy::authenticate::login::seal::{Bound, Keyring, NONCE};
use gateway_core::policy::authenticate::login::session::{Lifetimes, Pending, Session, local};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &str, &[u8], u64)| {
    let (line, value, text, now) = input;
    let Ok(keys) = Keyring::new(&["a".repeat(32)]) else { return };
    let bound = Bound::to(&["session"]);
    assert_eq!(keys.open(value, &bound), None, "nobody has sealed that");
    let sealed = keys.seal(text, &bound, [7; NONCE]).expect("any text can be sealed");
    assert_eq!(keys.open(&sealed, &bound).as_deref(), Some(text));

    let mut block = b"cookie\0".to_vec();
    block.extend(line.iter().filter(|byte| !matches!(byte, 0 | b'\n')));
    block.push(b'\n');
    let headers = Headers::from_block(block);
    for secure in [true, false] {
        let cookies = Cookies { name: "login-1", secure };
        let _ = cookies.read(&headers, &cookies.session());
        // Nothing that a client sends breaks out of a line, and nothing of the login goes on.
        for line in cookies.forget_all(&headers).iter().chain(&cookies.forget_surplus(&headers)) {
            assert!(line.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '), "{line}");
        }
        let mut left = headers.clone();
        cookies.strip(&mut left);
        assert!(cookies.forget_all(&left).is_empty());
        if let Some(lines) = cookies.write(&headers, &cookies.session(), &sealed, 60) {
            assert!(lines.iter().all(|line| line.len() < 4096));
        }
    }
    if let Some(session) = Session::read(text) {
        assert_eq!(Session::read(&session.write()).as_ref(), Some(&session));
        let _ = session.claims();
        let _ = session.standing(Lifetimes { idle: 3_600_000, absolute: 43_200_000 }, true, now);
    }
    let _ = Pending::read(text, now);
    if let Some(target) = local(value) {
        assert!(target.starts_with('/') && !target.starts_with("//") && !target.contains('\\'));
    }
});
