//! The cookies of a login: how they are called, cut into pieces, put together again, and taken out of what goes on.
//!
//! A browser keeps some 4 KB for each cookie. A longer value is cut: the first piece says how many there are, so that one
//! left over from a longer value is not taken for a piece of a shorter one.

use crate::http::{Headers, cookies};

/// How a login's cookies are called and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookies<'a> {
    /// What all of their names begin with, but for `__Host-`.
    pub name: &'a str,
    /// Whether browsers reach the gateway by TLS. Then nobody but the host itself can set these cookies (RFC 6265bis §4.1.3.2).
    pub secure: bool,
}

/// The bytes of a value that one cookie holds; with its name and attributes it must stay below 4096.
const PIECE: usize = 3_700;

/// How many cookies a value may take.
pub const MOST_PIECES: usize = 5;

/// How many logins that have not come back a browser may have, each in a tab of its own.
const MOST_PENDING: usize = 8;

/// How many cookies of a login are told apart.
const MOST_NAMES: usize = 32;

impl Cookies<'_> {
    /// The cookie that holds a session, or its first piece.
    pub fn session(&self) -> String {
        format!("{}{}", if self.secure { "__Host-" } else { "" }, self.name)
    }

    /// The cookie that holds a login on its way, which is known by a mark.
    pub fn pending(&self, mark: &str) -> String {
        format!("{}-l-{mark}", self.session())
    }

    /// The value of a cookie, put together. Two cookies of one name are none: somebody else may have set one of them.
    pub fn read(&self, headers: &Headers, name: &str) -> Option<String> {
        let only = |name: &str| match cookies(headers, name).as_slice() {
            [value] => Some(value.clone()),
            _ => None,
        };
        let first = only(name)?;
        let (count, first) = first.split_at_checked(1)?;
        let count: usize = count.parse().ok().filter(|count| (1..=MOST_PIECES).contains(count))?;
        let mut value = first.to_owned();
        for number in 1..count {
            value.push_str(&only(&format!("{name}-{number}"))?);
        }
        // One value is cut in one way.
        (count == pieces(&value)).then_some(value)
    }

    /// The `Set-Cookie` lines that have a browser keep a value for so many seconds, and forget pieces of a longer one that
    /// it has sent. `None`: it is too long.
    pub fn write(&self, headers: &Headers, name: &str, value: &str, seconds: u64) -> Option<Vec<String>> {
        let count = pieces(value);
        if count > MOST_PIECES {
            return None;
        }
        let mut lines = Vec::new();
        for number in 0..MOST_PIECES {
            let called = if number == 0 { name.to_owned() } else { format!("{name}-{number}") };
            let piece = value.get(number * PIECE..value.len().min((number + 1) * PIECE));
            match piece {
                Some(piece) if number < count => {
                    let head = if number == 0 { count.to_string() } else { String::new() };
                    lines.push(self.line(&called, &format!("{head}{piece}"), seconds));
                }
                _ if !cookies(headers, &called).is_empty() => lines.push(self.line(&called, "", 0)),
                _ => {}
            }
        }
        Some(lines)
    }

    /// The lines that have a browser forget a login on its way.
    pub fn forget(&self, name: &str) -> String {
        self.line(name, "", 0)
    }

    /// The lines that have a browser forget everything that it has sent.
    pub fn forget_all(&self, headers: &Headers) -> Vec<String> {
        self.forgettable(headers).iter().map(|name| self.line(name, "", 0)).collect()
    }

    /// The lines that have a browser forget the oldest of too many logins on their way: browsers send older cookies first
    /// (RFC 6265 §5.4).
    pub fn forget_surplus(&self, headers: &Headers) -> Vec<String> {
        let prefix = self.pending("");
        let pending: Vec<String> =
            self.forgettable(headers).into_iter().filter(|name| name.starts_with(&prefix)).collect();
        let surplus = (pending.len() + 1).saturating_sub(MOST_PENDING);
        pending.iter().take(surplus).map(|name| self.line(name, "", 0)).collect()
    }

    /// Takes every cookie of the login out of what goes on, also those that are no good.
    pub fn strip(&self, headers: &mut Headers) {
        if self.sent(headers).is_empty() {
            return;
        }
        let lines: Vec<String> = headers.all("cookie").map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        let pairs = lines.iter().flat_map(|line| line.split(';')).map(str::trim).filter(|pair| !pair.is_empty());
        let others: Vec<_> = pairs.filter(|pair| !self.is_own(pair.split('=').next().unwrap_or(pair).trim())).collect();
        if others.is_empty() { headers.remove("cookie") } else { headers.set("cookie", others.join("; ")) }
    }

    /// Those whose names may be repeated in a line: a client writes what it likes.
    fn forgettable(&self, headers: &Headers) -> Vec<String> {
        self.sent(headers).into_iter().filter(|name| crate::http::is_token(name)).collect()
    }

    /// The names of the login's cookies that came, each once. A browser has a handful; somebody who sends thousands gets
    /// neither as many lines back nor the time that it takes to tell them apart.
    fn sent(&self, headers: &Headers) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for line in headers.all("cookie").map(String::from_utf8_lossy) {
            for pair in line.split(';') {
                let name = pair.split('=').next().unwrap_or_default().trim();
                if self.is_own(name) && !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                if names.len() == MOST_NAMES {
                    return names;
                }
            }
        }
        names
    }

    /// Whether a cookie is the login's, in either spelling: what the upstream would take for one is no business of its own.
    fn is_own(&self, name: &str) -> bool {
        let bare = name.strip_prefix("__Host-").unwrap_or(name);
        bare.strip_prefix(self.name).is_some_and(|rest| {
            let is_piece = matches!(rest.as_bytes(), [b'-', b'0'..=b'9']);
            rest.is_empty() || is_piece || rest.starts_with("-l-")
        })
    }

    fn line(&self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}{secure}; HttpOnly; SameSite=Lax")
    }
}

fn pieces(value: &str) -> usize {
    value.len().div_ceil(PIECE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: Cookies<'_> = Cookies { name: "login-1", secure: true };
    const CLEAR: Cookies<'_> = Cookies { name: "login-1", secure: false };

    fn sent(line: &str) -> Headers {
        Headers::from_block(format!("cookie\0{line}\n").into_bytes())
    }

    /// What a browser sends that was told so.
    fn kept(lines: &[String]) -> Headers {
        let pairs = lines.iter().filter(|line| !line.contains("Max-Age=0;")).filter_map(|line| line.split(';').next());
        sent(&pairs.collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn long_values_are_cut_and_put_together() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE * 3, PIECE * MOST_PIECES] {
            let value: String = "abcdefghij".chars().cycle().take(length).collect();
            let lines = SAFE.write(&Headers::new(), &SAFE.session(), &value, 60).expect("it fits");
            assert!(lines.iter().all(|line| line.len() < 4096), "{length}");
            assert_eq!(SAFE.read(&kept(&lines), &SAFE.session()), Some(value), "{length}");
        }
        assert_eq!(SAFE.write(&Headers::new(), "x", &"a".repeat(PIECE * MOST_PIECES + 1), 60), None);
    }

    #[test]
    fn pieces_of_a_longer_value_are_forgotten_and_never_mixed_in() {
        let before = kept(&SAFE.write(&Headers::new(), &SAFE.session(), &"a".repeat(PIECE * 2), 60).expect("it fits"));
        let lines = SAFE.write(&before, &SAFE.session(), "b", 60).expect("it fits");
        assert_eq!(lines.len(), 2);
        assert!(lines[1].starts_with("__Host-login-1-1=; Path=/; Max-Age=0;"), "{lines:?}");
        assert_eq!(SAFE.read(&sent("__Host-login-1=1b; __Host-login-1-1=aaa"), &SAFE.session()).as_deref(), Some("b"));
    }

    #[test]
    fn what_may_be_somebody_elses_is_not_read() {
        for (line, expected) in [
            ("__Host-login-1=1v", Some("v")),
            ("login-1=1v", None),
            ("__Host-login-1=1v; __Host-login-1=1w", None),
            ("__Host-login-1=1v; __Host-login-1=1v", None),
            ("__Host-login-1=2v", None),
            ("__Host-login-1=2v; __Host-login-1-1=w", None),
            ("__Host-login-1=2v; __Host-login-1-1=a; __Host-login-1-1=b", None),
            ("__Host-login-1=0", None),
            ("__Host-login-1=9v", None),
            ("__Host-login-1=", None),
            ("__Host-login-1=\u{e9}v", None),
        ] {
            assert_eq!(SAFE.read(&sent(line), &SAFE.session()).as_deref(), expected, "{line}");
        }
        assert_eq!(CLEAR.read(&sent("login-1=1v"), &CLEAR.session()).as_deref(), Some("v"));
    }

    #[test]
    fn attributes_keep_scripts_other_sites_and_other_hosts_out() {
        let line = &SAFE.write(&Headers::new(), &SAFE.session(), "v", 60).expect("it fits")[0];
        assert_eq!(line, "__Host-login-1=1v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax");
        let line = &CLEAR.write(&Headers::new(), &CLEAR.session(), "v", 60).expect("it fits")[0];
        assert_eq!(line, "login-1=1v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn nothing_of_a_login_goes_on() {
        for (line, left) in [
            ("a=b; __Host-login-1=v; c=d", Some("a=b; c=d")),
            ("login-1=v", None),
            ("__Host-login-1-1=v; __Host-login-1-l-abc=v; x=y", Some("x=y")),
            (" login-1 = v; a=b", Some("a=b")),
            ("login-1; a", Some("a")),
            ("login-10=v; login-1x=v; xlogin-1=v", Some("login-10=v; login-1x=v; xlogin-1=v")),
        ] {
            let mut headers = sent(line);
            SAFE.strip(&mut headers);
            assert_eq!(headers.text("cookie"), left, "{line}");
        }
    }

    #[test]
    fn logins_that_never_come_back_are_forgotten() {
        let line: Vec<String> = (0..12).map(|n| format!("__Host-login-1-l-{n}=1v")).collect();
        let forgotten = SAFE.forget_surplus(&sent(&line.join("; ")));
        assert_eq!(forgotten.len(), 5);
        assert!(forgotten[0].starts_with("__Host-login-1-l-0=;"));
        assert!(SAFE.forget_surplus(&sent("__Host-login-1-l-0=1v")).is_empty());
        let flood: Vec<String> = (0..5_000).map(|n| format!("login-1-l-{n}=1")).collect();
        let mut flood = sent(&flood.join("; "));
        assert!(SAFE.forget_all(&flood).len() <= MOST_NAMES && SAFE.forget_surplus(&flood).len() <= MOST_NAMES);
        SAFE.strip(&mut flood);
        assert!(!flood.contains("cookie"));
        let all = SAFE.forget_all(&sent("a=b; __Host-login-1=1; __Host-login-1-l-0=1; __Host-login-1=2"));
        assert_eq!(all.len(), 2);
    }
}
