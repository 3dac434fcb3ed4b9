//! Changes requests and responses besides their header fields: method and status, query, cookies and bodies.

use super::headers::replace;
use super::{Departure, Visit};
use crate::error::Error;
use crate::http::{self, Body, Headers, Response, Statuses, percent_encode};
use crate::platform::Platform;
use crate::pump;
#[cfg(feature = "shaping")]
use crate::shape::Rules;
use crate::template::{Scope, Template};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Changes on the way in, and on the way back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Transform {
    /// Of requests.
    pub request: RequestChanges,
    /// Of responses that an upstream has made.
    pub response: ResponseChanges,
}

/// Changes to requests.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestChanges {
    /// What methods become.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub method: Vec<(String, String)>,
    /// The query.
    #[serde(skip_serializing_if = "PairEdits::is_empty")]
    pub query: PairEdits,
    /// The cookies.
    #[serde(skip_serializing_if = "PairEdits::is_empty")]
    pub cookies: PairEdits,
    /// The body.
    #[cfg(feature = "shaping")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Rules>,
}

/// Changes to responses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseChanges {
    /// What statuses become; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<(Statuses, u16)>,
    /// The cookies that are set.
    #[serde(skip_serializing_if = "CookieEdits::is_empty")]
    pub cookies: CookieEdits,
    /// The body.
    #[cfg(feature = "shaping")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Rules>,
}

impl Transform {
    /// Whether the way back looks at the response's fields.
    pub fn reads_response(&self) -> bool {
        #[cfg(feature = "shaping")]
        if self.response.body.is_some() {
            return true;
        }
        !self.response.cookies.is_empty()
    }

    /// Whether the way back looks at the request's fields.
    pub fn asks_request(&self) -> bool {
        #[cfg(feature = "shaping")]
        if self.response.body.is_some() {
            // How the answer may be packed stands there.
            return true;
        }
        self.response.cookies.added().any(|cookie| cookie.value.asks_request())
    }

    /// On the way in.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<(), Error> {
        let changes = &self.request;
        if !changes.query.is_empty() {
            let pairs = changes.query.render(&visit.scope());
            *visit.query = pairs.apply(Syntax::Query, visit.query.as_deref().unwrap_or_default());
        }
        if !changes.cookies.is_empty() {
            let pairs = changes.cookies.render(&visit.scope());
            let lines: Vec<_> = visit.headers.all("cookie").map(String::from_utf8_lossy).collect();
            // RFC 9113 §8.2.3: several lines are one, with `; ` between.
            match pairs.apply(Syntax::Cookies, &lines.join("; ")) {
                Some(cookies) => visit.headers.set("cookie", cookies),
                None => visit.headers.remove("cookie"),
            }
        }
        #[cfg(feature = "shaping")]
        if let Some(body) = &changes.body {
            body.on_request(visit).await?;
        }
        #[cfg(feature = "shaping")]
        if let Some(body) = &self.response.body {
            body.ask_for_plain(visit.headers);
        }
        let method = visit.memo.method.as_ref().unwrap_or(&visit.line.method);
        if let Some((_, to)) = changes.method.iter().find(|(from, _)| from == method) {
            if matches!(to.as_str(), "GET" | "HEAD") {
                // RFC 9110 §9.3.1: there is nothing that a body would mean.
                *visit.body = Body::Empty;
                visit.headers.forget_body();
            }
            visit.memo.method = Some(to.clone());
        }
        Ok(())
    }

    /// On the way back.
    pub async fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) -> Result<(), Error> {
        if !departure.from_upstream || departure.response.status == 101 {
            return Ok(());
        }
        #[cfg(feature = "shaping")]
        if let Some(body) = &self.response.body {
            body.on_response(departure).await?;
        }
        let Departure { platform, response, scope, .. } = departure;
        if !self.response.cookies.is_empty() {
            let scope = scope.with_response(response.status, &response.headers);
            let lines = self.response.cookies.render(&scope);
            lines.apply(&mut response.headers);
        }
        let status = self.response.status.iter().find(|(from, _)| from.contain(response.status));
        if let Some((_, status)) = status {
            response.status = *status;
            if matches!(status, 204 | 205 | 304) {
                drop_body(*platform, response);
            }
        }
        Ok(())
    }
}

/// Takes the body away, with the fields that speak of it.
pub(super) fn drop_body<P: Platform>(platform: &P, response: &mut Response<P::Stream>) {
    pump::discard(platform, std::mem::replace(&mut response.body, Body::Empty));
    response.headers.forget_body();
}

/// Changes to parameters of the query, or to cookies: pairs of a name and a value. In this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairEdits {
    /// Only these stay, where any are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
    /// These go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// These get another name, and keep their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// One of this name stays, with this value, where there is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<(String, Template)>,
    /// One of this name stays, with this value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, Template)>,
    /// One comes where there is none of this name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<(String, Template)>,
    /// One more comes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<(String, Template)>,
}

impl PairEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is written, and what it gets.
    pub fn written(&self) -> impl Iterator<Item = (&str, &Template)> {
        let all = self.replace.iter().chain(&self.set).chain(&self.default).chain(&self.append);
        all.map(|(name, value)| (name.as_str(), value))
    }

    fn render(&self, scope: &Scope<'_>) -> Pairs<'_> {
        let fill = |pairs: &[(String, Template)]| pairs.iter().map(|(_, value)| value.render(scope)).collect();
        Pairs {
            edits: self,
            replace: fill(&self.replace),
            set: fill(&self.set),
            default: fill(&self.default),
            append: fill(&self.append),
        }
    }
}

/// How pairs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    /// `a=b&c=d`, encoded as forms are.
    Query,
    /// `a=b; c=d`
    Cookies,
}

impl Syntax {
    fn name<'p>(self, pair: &'p str) -> Cow<'p, str> {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        match self {
            Syntax::Query => http::decode(name),
            Syntax::Cookies => name.into(),
        }
    }

    fn pair(self, name: &str, value: &str) -> String {
        match self {
            Syntax::Query => format!("{}={}", percent_encode(name), percent_encode(value)),
            Syntax::Cookies => {
                let mut pair = format!("{name}=");
                write_octets(value, &mut pair);
                pair
            }
        }
    }
}

/// Changes whose values are known.
struct Pairs<'a> {
    edits: &'a PairEdits,
    replace: Vec<String>,
    set: Vec<String>,
    default: Vec<String>,
    append: Vec<String>,
}

impl Pairs<'_> {
    /// The text with the changes made. `None` where no pair is left. What nobody changes keeps its spelling.
    fn apply(&self, syntax: Syntax, text: &str) -> Option<String> {
        let (separator, join) = match syntax {
            Syntax::Query => ('&', "&"),
            Syntax::Cookies => (';', "; "),
        };
        let pairs = text.split(separator).map(str::trim).filter(|pair| !pair.is_empty());
        let mut pairs: Vec<Cow<'_, str>> = pairs.map(Cow::Borrowed).collect();
        let PairEdits { keep, remove, rename, replace, set, default, append } = self.edits;
        pairs.retain(|pair| {
            let name = syntax.name(pair);
            let is = |listed: &[String]| listed.iter().any(|listed| *listed == name);
            keep.as_deref().is_none_or(is) && !is(remove)
        });
        for (from, to) in rename {
            for pair in pairs.iter_mut().filter(|pair| syntax.name(pair) == from.as_str()) {
                let value = pair.split_once('=').map(|(_, value)| value.to_owned());
                let name = if syntax == Syntax::Query { percent_encode(to) } else { to.clone() };
                *pair = value.map_or_else(|| name.clone(), |value| format!("{name}={value}")).into();
            }
        }
        let replaced = replace.iter().zip(&self.replace).map(|pair| (pair, false));
        let set = set.iter().zip(&self.set).map(|pair| (pair, true));
        for (((name, _), value), is_added) in replaced.chain(set) {
            let mut first = Some(syntax.pair(name, value));
            pairs.retain_mut(|pair| {
                if syntax.name(pair) != name.as_str() {
                    return true;
                }
                first.take().map(|new| *pair = new.into()).is_some()
            });
            pairs.extend(first.filter(|_| is_added).map(Cow::Owned));
        }
        for ((name, _), value) in default.iter().zip(&self.default) {
            if !pairs.iter().any(|pair| syntax.name(pair) == name.as_str()) {
                pairs.push(syntax.pair(name, value).into());
            }
        }
        for ((name, _), value) in append.iter().zip(&self.append) {
            pairs.push(syntax.pair(name, value).into());
        }
        (!pairs.is_empty()).then(|| pairs.join(join))
    }
}

/// Whether a cookie's value may hold this (RFC 6265 §4.1.1).
pub fn is_cookie_octet(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | ',' | ';' | '\\')
}

/// Writes a value for a cookie; what it may not hold is percent-encoded.
fn write_octets(value: &str, out: &mut String) {
    for c in value.chars() {
        if is_cookie_octet(c) {
            out.push(c);
        } else {
            out.push_str(&percent_encode(c.encode_utf8(&mut [0; 4])));
        }
    }
}

/// A cookie that responses set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCookie {
    /// What it is called.
    pub name: String,
    /// Its value.
    pub value: Template,
    /// Below which path it is sent back.
    pub path: String,
    /// To which domain, and those below it; `None`: to the host only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How long it is kept; `None`: until the browser is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Whether it is sent by TLS only.
    pub secure: bool,
    /// Whether scripts are kept from it.
    pub http_only: bool,
    /// With which requests of other sites it is sent.
    pub same_site: SameSite,
}

/// With which requests of other sites a cookie is sent (RFC 6265bis §4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SameSite {
    /// With none.
    #[serde(rename = "s")]
    Strict,
    /// With those that take the user here.
    #[serde(rename = "l")]
    Lax,
    /// With all.
    #[serde(rename = "n")]
    None,
}

impl NewCookie {
    /// The value of its `Set-Cookie` (RFC 6265 §4.1.1).
    fn line(&self, scope: &Scope<'_>) -> String {
        let mut line = format!("{}={}", self.name, self.value.render_with(scope, write_octets));
        line.push_str("; Path=");
        line.push_str(&self.path);
        if let Some(domain) = &self.domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        if let Some(seconds) = self.seconds {
            line.push_str(&format!("; Max-Age={seconds}"));
        }
        if self.secure {
            line.push_str("; Secure");
        }
        if self.http_only {
            line.push_str("; HttpOnly");
        }
        line.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        line
    }
}

/// Changes to the cookies that responses set, in this order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CookieEdits {
    /// Only these are set, where any are named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Vec<String>>,
    /// These are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// These get another name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// These are set, in the place of all of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<NewCookie>,
    /// These are set where none of their names is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub default: Vec<NewCookie>,
    /// These are set as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub append: Vec<NewCookie>,
}

impl CookieEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Every cookie that is new.
    pub(crate) fn added(&self) -> impl Iterator<Item = &NewCookie> {
        self.set.iter().chain(&self.default).chain(&self.append)
    }

    fn render(&self, scope: &Scope<'_>) -> SetCookies<'_> {
        SetCookies { edits: self, lines: self.added().map(|cookie| cookie.line(scope)).collect() }
    }

    fn edit(&self, line: &str) -> Option<String> {
        let (name, rest) = line.split_once('=')?;
        let is = |listed: &[String]| listed.iter().any(|listed| listed == name.trim());
        if self.keep.as_deref().is_some_and(|keep| !is(keep)) || is(&self.remove) {
            return None;
        }
        let renamed = self.rename.iter().find(|(from, _)| from == name.trim());
        Some(renamed.map_or_else(|| line.to_owned(), |(_, to)| format!("{to}={rest}")))
    }
}

/// Changes whose values are known.
struct SetCookies<'a> {
    edits: &'a CookieEdits,
    /// Of those in `set`, then of those in `default`, then of those in `append`.
    lines: Vec<String>,
}

impl SetCookies<'_> {
    /// Makes the changes.
    fn apply(&self, headers: &mut Headers) {
        let CookieEdits { set, default, .. } = self.edits;
        edit_set_cookie(headers, |line| {
            let edited = self.edits.edit(line)?;
            let is_replaced = set.iter().any(|cookie| called(&edited) == cookie.name);
            (!is_replaced).then_some(edited)
        });
        let (of_set, lines) = self.lines.split_at(set.len().min(self.lines.len()));
        let (of_default, of_append) = lines.split_at(default.len().min(lines.len()));
        of_set.iter().for_each(|line| headers.append("set-cookie", line));
        for (cookie, line) in default.iter().zip(of_default) {
            let is = |line: &[u8]| std::str::from_utf8(line).is_ok_and(|line| called(line) == cookie.name);
            if !headers.all("set-cookie").any(is) {
                headers.append("set-cookie", line);
            }
        }
        of_append.iter().for_each(|line| headers.append("set-cookie", line));
    }
}

/// The name of the cookie that a line sets.
fn called(line: &str) -> &str {
    line.split_once('=').map_or("", |(name, _)| name.trim())
}

/// Writes the `Set-Cookie` lines anew, where that changes any. What is not readable text stays.
pub(super) fn edit_set_cookie(headers: &mut Headers, edit: impl Fn(&str) -> Option<String>) {
    let before: Vec<Vec<u8>> = headers.all("set-cookie").map(<[u8]>::to_vec).collect();
    let after: Vec<Vec<u8>> = before
        .iter()
        .filter_map(|line| match std::str::from_utf8(line) {
            Ok(text) if text.contains('=') => edit(text).map(String::into_bytes),
            _ => Some(line.clone()),
        })
        .collect();
    if after != before {
        replace(headers, "set-cookie", after.iter().map(Vec::as_slice));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(edits: PairEdits, syntax: Syntax, text: &str) -> Option<String> {
        let fill = |pairs: &[(String, Template)]| {
            pairs.iter().map(|(_, value)| value.as_literal().unwrap_or_default().to_owned()).collect()
        };
        let (replace, set) = (fill(&edits.replace), fill(&edits.set));
        let (default, append) = (fill(&edits.default), fill(&edits.append));
        Pairs { edits: &edits, replace, set, default, append }.apply(syntax, text)
    }

    #[test]
    fn pairs_are_changed_and_the_others_keep_their_spelling() {
        let named = |name: &str, value: &str| vec![(name.to_owned(), Template::literal(value))];
        let (query, cookies) = (Syntax::Query, Syntax::Cookies);
        for (edits, syntax, text, expected) in [
            (
                PairEdits { remove: vec!["a b".into()], ..PairEdits::default() },
                query,
                "a+b=1&c=%7e&a%20b",
                Some("c=%7e"),
            ),
            (PairEdits { keep: Some(vec!["a".into()]), ..PairEdits::default() }, query, "a=1&b=2&a=3", Some("a=1&a=3")),
            (PairEdits { keep: Some(vec![]), ..PairEdits::default() }, query, "a=1", None),
            (
                PairEdits { rename: vec![("a".into(), "ä".into())], ..PairEdits::default() },
                query,
                "a=%2F&b&a",
                Some("%C3%A4=%2F&b&%C3%A4"),
            ),
            (
                PairEdits { set: named("a", "x y"), ..PairEdits::default() },
                query,
                "b=1&a=1&c=2&a=3",
                Some("b=1&a=x%20y&c=2"),
            ),
            (PairEdits { set: named("a", "&"), ..PairEdits::default() }, query, "", Some("a=%26")),
            (
                PairEdits { replace: [named("a", "x"), named("d", "y")].concat(), ..PairEdits::default() },
                query,
                "a=1&b=2&a=3",
                Some("a=x&b=2"),
            ),
            (PairEdits { default: named("a", "1"), ..PairEdits::default() }, query, "a", Some("a")),
            (PairEdits { append: named("a", "1"), ..PairEdits::default() }, query, "a=0", Some("a=0&a=1")),
            (
                PairEdits { set: named("s", "a;b \"é"), ..PairEdits::default() },
                cookies,
                "t=1;  s=2",
                Some("t=1; s=a%3Bb%20%22%C3%A9"),
            ),
            (PairEdits { remove: vec!["t".into()], ..PairEdits::default() }, cookies, "t=1", None),
        ] {
            assert_eq!(pairs(edits.clone(), syntax, text).as_deref(), expected, "{text} {edits:?}");
        }
    }

    #[test]
    fn cookies_that_are_set_are_chosen_and_renamed() {
        let mut headers =
            Headers::from_block(b"set-cookie\0a=1; Path=/\nset-cookie\0b=2\nset-cookie\0c=3=4\n".to_vec());
        let edits =
            CookieEdits { remove: vec!["b".into()], rename: vec![("c".into(), "d".into())], ..CookieEdits::default() };
        SetCookies { edits: &edits, lines: Vec::new() }.apply(&mut headers);
        assert_eq!(headers.all("set-cookie").collect::<Vec<_>>(), [&b"a=1; Path=/"[..], b"d=3=4"]);
    }

    #[test]
    fn cookies_are_set_where_those_of_their_names_were() {
        let mut headers = Headers::from_block(b"set-cookie\0a=1\nset-cookie\0old=2\nset-cookie\0c=3\n".to_vec());
        let cookie = |name: &str| NewCookie {
            name: name.to_owned(),
            value: Template::literal("x"),
            path: "/".to_owned(),
            domain: None,
            seconds: None,
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
        };
        let edits = CookieEdits {
            rename: vec![("old".into(), "b".into())],
            set: vec![cookie("a")],
            default: vec![cookie("b"), cookie("d")],
            append: vec![cookie("c")],
            ..CookieEdits::default()
        };
        let lines = ["a=x", "b=x", "d=x", "c=x"].map(str::to_owned).to_vec();
        SetCookies { edits: &edits, lines }.apply(&mut headers);
        assert_eq!(headers.all("set-cookie").collect::<Vec<_>>(), [&b"b=2"[..], b"c=3", b"a=x", b"d=x", b"c=x"]);
    }
}
