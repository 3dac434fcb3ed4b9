//! What the gateway knows of somebody who has logged in, and for how long it counts. The browser keeps it, sealed.

use crate::jwt::{json, rules};
use crate::platform::Timestamp;
use crate::record;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Somebody who has logged in. Times are in milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The ID token, as it was verified when it came.
    #[serde(rename = "i")]
    pub id_token: String,
    /// What the provider's userinfo says besides.
    #[serde(rename = "u", default, skip_serializing_if = "Map::is_empty")]
    pub userinfo: Map<String, Value>,
    /// What was granted.
    #[serde(rename = "s", default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// For the upstream, where it is to get one.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// For new tokens.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// When the user logged in.
    #[serde(rename = "c")]
    pub created: Timestamp,
    /// When the user was last here, roughly.
    #[serde(rename = "n")]
    pub seen: Timestamp,
    /// When the tokens came.
    #[serde(rename = "t")]
    pub issued: Timestamp,
    /// When the access token ends, where the provider says.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// How long sessions count, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetimes {
    /// Since the user was last here.
    pub idle: u64,
    /// Since the user logged in, whatever happens.
    pub absolute: u64,
}

impl Lifetimes {
    /// How old it may be what the browser knows of when the user was here.
    fn step(self) -> u64 {
        self.idle / 8
    }
}

/// What to do with a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Good,
    /// It counts, and the browser is told anew that the user was here.
    Touch,
    /// It counts, and new tokens are due.
    Renew,
    /// It has ended.
    Over,
}

impl Session {
    /// Reads what was sealed.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        record::read(bytes).ok()
    }

    /// What is sealed.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a session holds only texts, numbers and JSON, which JSON can write")
    }

    /// What the provider says of the user: in the ID token, and what only its userinfo says.
    pub fn claims(&self) -> Option<Map<String, Value>> {
        let payload = self.id_token.split('.').nth(1).and_then(crate::jwt::token::decode)?;
        let mut claims = json::object(&payload)?;
        for (name, value) in &self.userinfo {
            claims.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Some(claims)
    }

    /// When nothing keeps it alive any longer, unless the user comes back before.
    pub fn ends(&self, lifetimes: Lifetimes) -> Timestamp {
        let absolute = self.created.saturating_add(lifetimes.absolute);
        absolute.min(self.seen.saturating_add(lifetimes.idle))
    }

    /// What to do with it now. `navigation`: whether the request is for a page, so that it is the only one of its browser for
    /// the moment.
    ///
    /// New tokens are asked for a while before the old ones end. In that while only a page does it: what the page then
    /// loads brings the new cookie already. Otherwise a handful of requests would come with one refresh token, and a
    /// provider that lets each be used once would take that for theft (RFC 9700 §4.14.2).
    pub fn standing(&self, lifetimes: Lifetimes, navigation: bool, now: Timestamp) -> Standing {
        // Made in the future: the clock is wrong, or somebody plays with it.
        if now >= self.ends(lifetimes) || self.created > now.saturating_add(LEEWAY) {
            return Standing::Over;
        }
        let renewal = self.refresh_token.is_some().then(|| self.renewal(lifetimes)).flatten();
        let ended = self.expires.is_some_and(|expires| now >= expires);
        if renewal.is_none() && self.access_token.is_some() && ended {
            // The upstream would get a token that is no good.
            return Standing::Over;
        }
        match renewal {
            Some((_, due)) if now >= due => Standing::Renew,
            Some((early, _)) if now >= early && navigation => Standing::Renew,
            // Whoever tells the browser of the old session now might be heard after the one that brings the new one.
            Some((early, _)) if now.saturating_add(lifetimes.step().min(GUARD)) >= early => Standing::Good,
            _ if self.is_to_touch(lifetimes, now) => Standing::Touch,
            _ => Standing::Good,
        }
    }

    /// Whether it was so long ago that the browser was told that the user was here that it is told again.
    pub fn is_to_touch(&self, lifetimes: Lifetimes, now: Timestamp) -> bool {
        now.saturating_sub(self.seen) >= lifetimes.step()
    }

    /// From when on a page may ask for new tokens, and from when on anything does.
    fn renewal(&self, lifetimes: Lifetimes) -> Option<(Timestamp, Timestamp)> {
        let expires = self.expires?;
        let life = expires.saturating_sub(self.issued);
        let due = expires.saturating_sub((life / 10).min(60_000));
        // Short beside the idle time, during which nobody tells the browser that the user was here.
        let early = due.saturating_sub((life / 4).min(300_000).min(lifetimes.idle / 4));
        Some((early, due))
    }
}

/// How far the clocks of two instances may differ.
const LEEWAY: u64 = 60_000;

/// How long a response may be on its way.
const GUARD: u64 = 60_000;

/// Nothing of it is for logs.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { created, seen, issued, expires, .. } = self;
        write!(f, "Session(created {created}, seen {seen}, issued {issued}, expires {expires:?})")
    }
}

/// The scopes that a provider's answer names (RFC 6749 §5.1).
pub fn granted(answer: &Map<String, Value>, asked: &[String]) -> Vec<String> {
    if answer.contains_key("scope") { rules::scopes(answer) } else { asked.to_vec() }
}

/// A login on its way: what the browser must bring back from the provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// What the ID token must repeat.
    #[serde(rename = "n")]
    pub nonce: String,
    /// What proves that the code is brought by who asked for it (RFC 7636).
    #[serde(rename = "v")]
    pub verifier: String,
    /// Where the user wanted to go: a path, perhaps with a query.
    #[serde(rename = "r")]
    pub return_to: String,
    /// When it began.
    #[serde(rename = "t")]
    pub began: Timestamp,
}

/// How long a login may take, in milliseconds.
pub const PATIENCE: u64 = 600_000;

impl Pending {
    /// Reads what was sealed, if it is not too old.
    pub fn read(bytes: &[u8], now: Timestamp) -> Option<Self> {
        let pending: Self = record::read(bytes).ok()?;
        let age = now.saturating_sub(pending.began);
        (age < PATIENCE && pending.began <= now.saturating_add(LEEWAY)).then_some(pending)
    }

    /// What is sealed.
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a login holds only texts and a number, which JSON can write")
    }
}

/// Nothing of it is for logs.
impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending(began {})", self.began)
    }
}

/// A place on the gateway's own host, as a user may be sent back to: a path, perhaps with a query. `None`: it may be
/// understood as a place elsewhere, or is too long to be carried.
pub fn local(target: &str) -> Option<&str> {
    /// What a cookie should carry of it.
    const LONGEST: usize = 2_000;
    let plain = target.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#');
    let rooted = target.starts_with('/') && !target.starts_with("//");
    (plain && rooted && target.len() <= LONGEST).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MINUTE: u64 = 60_000;
    const LIFETIMES: Lifetimes = Lifetimes { idle: 60 * MINUTE, absolute: 720 * MINUTE };

    fn session() -> Session {
        let id_token = format!("e.{}.s", crate::jwt::token::encode(r#"{"sub":"alice","email":"id@a.example"}"#));
        Session {
            id_token,
            userinfo: Map::new(),
            scopes: Vec::new(),
            access_token: None,
            refresh_token: None,
            created: 0,
            seen: 0,
            issued: 0,
            expires: None,
        }
    }

    #[test]
    fn sessions_end_when_nobody_is_here_and_in_any_case() {
        let at = |seen, now| Session { seen, ..session() }.standing(LIFETIMES, true, now);
        assert_eq!(at(0, 0), Standing::Good);
        assert_eq!(at(0, 8 * MINUTE), Standing::Touch);
        assert_eq!(at(0, 60 * MINUTE - 1), Standing::Touch);
        assert_eq!(at(0, 60 * MINUTE), Standing::Over);
        assert_eq!(at(700 * MINUTE, 719 * MINUTE), Standing::Touch);
        assert_eq!(at(719 * MINUTE, 720 * MINUTE), Standing::Over);
        let future = Session { created: 2 * MINUTE, seen: 2 * MINUTE, ..session() };
        assert_eq!(future.standing(LIFETIMES, true, 0), Standing::Over);
        assert_eq!(future.standing(LIFETIMES, true, MINUTE), Standing::Good);
    }

    #[test]
    fn new_tokens_are_asked_for_by_pages_first_and_by_anything_then() {
        let session =
            Session { refresh_token: Some("r".into()), expires: Some(40 * MINUTE), seen: 30 * MINUTE, ..session() };
        for (now, navigation, expected) in [
            (32 * MINUTE, true, Standing::Good),
            (33 * MINUTE, true, Standing::Good),
            (34 * MINUTE, true, Standing::Renew),
            (34 * MINUTE, false, Standing::Good),
            (39 * MINUTE - 1, false, Standing::Good),
            (39 * MINUTE, false, Standing::Renew),
            (80 * MINUTE, false, Standing::Renew),
            (90 * MINUTE, true, Standing::Over),
        ] {
            assert_eq!(session.standing(LIFETIMES, navigation, now), expected, "{now} {navigation}");
        }
    }

    #[test]
    fn who_works_on_without_loading_a_page_stays() {
        // A request every minute, none of them for a page; a provider that gives tokens for a day.
        let lifetimes = Lifetimes { idle: 30 * MINUTE, absolute: 2_880 * MINUTE };
        let mut session = Session { refresh_token: Some("r".into()), expires: Some(1_440 * MINUTE), ..session() };
        let mut renewed = false;
        for now in (0..1_500 * MINUTE).step_by(MINUTE as usize) {
            match session.standing(lifetimes, false, now) {
                Standing::Good => {}
                Standing::Touch => session.seen = now,
                Standing::Renew => {
                    renewed = true;
                    session = Session { seen: now, issued: now, expires: Some(now + 1_440 * MINUTE), ..session };
                }
                Standing::Over => panic!("thrown out after {} minutes", now / MINUTE),
            }
        }
        assert!(renewed);
    }

    #[test]
    fn a_session_ends_with_the_token_that_the_upstream_gets() {
        let session = Session { access_token: Some("a".into()), expires: Some(MINUTE), ..session() };
        assert_eq!(session.standing(LIFETIMES, true, MINUTE), Standing::Over);
        let session = Session { refresh_token: Some("r".into()), ..session };
        assert_eq!(session.standing(LIFETIMES, true, MINUTE), Standing::Renew);
        let session = Session { access_token: None, refresh_token: None, ..session };
        assert_eq!(session.standing(LIFETIMES, true, MINUTE), Standing::Good);
    }

    #[test]
    fn the_id_token_has_the_last_word() {
        let Value::Object(userinfo) = json!({"email": "info@a.example", "name": "Alice"}) else { return };
        let claims = Session { userinfo, ..session() }.claims().expect("claims");
        assert_eq!(Value::Object(claims), json!({"sub": "alice", "email": "id@a.example", "name": "Alice"}));
    }

    #[test]
    fn what_is_written_is_read_and_shows_nothing() {
        let session = Session { refresh_token: Some("planted".into()), expires: Some(1), ..session() };
        assert_eq!(Session::read(&session.write()), Some(session.clone()));
        assert!(!format!("{session:?}").contains("planted"));
        let pending =
            Pending { nonce: "planted".into(), verifier: "planted".into(), return_to: "/".into(), began: 100 };
        assert_eq!(Pending::read(&pending.write(), 100), Some(pending.clone()));
        assert_eq!(Pending::read(&pending.write(), 100 + PATIENCE), None);
        assert!(!format!("{pending:?}").contains("planted"));
        for wrong in ["", "{}", "[]", "null", "\u{0}"] {
            assert!(Session::read(wrong.as_bytes()).is_none() && Pending::read(wrong.as_bytes(), 0).is_none());
        }
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for good in ["/", "/a?b=c", "/a//b", "/%2F%2Fevil.example", "/?u=https://evil.example"] {
            assert_eq!(local(good), Some(good));
        }
        for wrong in [
            "",
            "a",
            ".evil.example/",
            "@evil.example/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            " /a",
            "/a\r\nset-cookie: x",
            "/\tevil",
            "/#",
            "/é",
        ] {
            assert_eq!(local(wrong), None, "{wrong}");
        }
        assert_eq!(local(&format!("/{}", "a".repeat(2_000))), None);
    }
}
