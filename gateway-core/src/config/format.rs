//! Texts with rules of their own: durations, sizes, ranges of addresses, paths, templates, and what to write instead.

use crate::{
    client::Cidr,
    path,
    route::{Host, Pattern, Regex},
    template::Template,
};

use super::node::Value;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub message: String,
    pub help: Option<String>,
    /// The part of the text that is meant, in bytes; `None` for all of it.
    pub part: Option<(usize, usize)>,
}

/// The rules for one definition of the schema.
pub(super) struct Format {
    /// The definition: a type in `written.rs`.
    pub name: &'static str,
    /// The code of what breaks the rules.
    pub code: &'static str,
    /// What it is, for people.
    pub noun: &'static str,
    /// The rules.
    pub check: fn(&str) -> Result<(), Wrong>,
}

/// Every definition that is a text with rules.
pub(super) const FORMATS: &[Format] = &[
    Format {
        name: "Duration",
        code: "bad-duration",
        noun: "a duration such as `10s`",
        check: |text| duration(text).map(drop),
    },
    Format { name: "Size", code: "bad-size", noun: "a size such as `10MB`", check: |text| size(text).map(drop) },
    Format { name: "Name", code: "bad-name", noun: "a name", check: name },
    Format { name: "Token", code: "bad-token", noun: "a token", check: token },
    Format { name: "HeaderName", code: "bad-header-name", noun: "the name of a header field", check: header_name },
    Format { name: "Method", code: "bad-method", noun: "a method such as `GET`", check: method },
    Format { name: "HostPattern", code: "bad-host", noun: "a host such as `api.example.com`", check: host_pattern },
    Format { name: "HostHeader", code: "bad-host", noun: "`target`, `keep` or a host", check: host_header },
    Format { name: "Cidr", code: "bad-cidr", noun: "a range of addresses such as `10.0.0.0/8`", check: cidr },
    Format { name: "PathPattern", code: "bad-path", noun: "a path such as `/files/{*rest}`", check: path_pattern },
    Format { name: "PathPrefix", code: "bad-path", noun: "a path such as `/files`", check: path_prefix },
    Format { name: "PlainPath", code: "bad-path", noun: "a path such as `/files`", check: plain_path },
    Format { name: "Regex", code: "bad-regex", noun: "a regular expression", check: regex },
    Format { name: "Template", code: "bad-template", noun: "text", check: template },
    Format {
        name: "TargetUrl",
        code: "bad-url",
        noun: "an address such as `http://127.0.0.1:9000`",
        check: target_url,
    },
    Format { name: "Country", code: "bad-country", noun: "a country such as `DE`", check: country },
    Format { name: "DataCentre", code: "bad-data-centre", noun: "a data centre such as `FRA`", check: data_centre },
];

/// What to write instead of a value that is not even a text.
pub(super) fn instead(definition: &str, value: &Value) -> Option<String> {
    match (definition, value) {
        ("Duration", Value::Integer(number)) => Some(format!("a duration needs a unit: `{number}s` or `{number}ms`")),
        ("Size", Value::Float(_)) => Some("write a whole number and a unit: `512`, `8KiB`, `10MB`".to_owned()),
        _ => None,
    }
}

/// A duration in milliseconds.
pub(super) fn duration(text: &str) -> Result<u64, Wrong> {
    let (digits, unit) = split_number(text);
    let help = "write a whole number and a unit: `500ms`, `10s`, `5m`, `1h`";
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if !digits.is_empty() => {
            return Err(wrong(format!("the duration `{text}` has no unit"))
                .help(format!("write `{digits}s` for seconds or `{digits}ms` for milliseconds")));
        }
        _ => return Err(wrong(format!("`{text}` is not a duration")).help(help)),
    };
    let number: u64 = digits.parse().map_err(|_| wrong(format!("`{text}` is not a duration")).help(help))?;
    let milliseconds = number.checked_mul(factor).filter(|&milliseconds| milliseconds <= 86_400_000);
    match milliseconds {
        Some(0) => Err(wrong(format!("a duration of `{text}` leaves no time at all")).help("write at least `1ms`")),
        Some(milliseconds) => Ok(milliseconds),
        None => Err(wrong(format!("the duration `{text}` is too long")).help("write at most `24h`")),
    }
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let (digits, unit) = split_number(text);
    let help = "write a whole number and a unit: `512`, `8KiB`, `10MB`";
    let factor = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => {
            let units = ["B", "KB", "MB", "GB", "KiB", "MiB", "GiB"];
            let meant = units.iter().find(|known| {
                let unit = unit.trim();
                known.eq_ignore_ascii_case(unit) || known.trim_end_matches('B').eq_ignore_ascii_case(unit)
            });
            let help = match meant {
                Some(meant) if !digits.is_empty() => format!("write `{digits}{meant}`"),
                Some(_) | None => help.to_owned(),
            };
            return Err(wrong(format!("`{text}` is not a size")).help(help));
        }
    };
    let number: u64 = digits.parse().map_err(|_| wrong(format!("`{text}` is not a size")).help(help))?;
    number.checked_mul(factor).ok_or_else(|| wrong(format!("the size `{text}` is too large")))
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn name(text: &str) -> Result<(), Wrong> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.bytes().all(allowed) && text.len() <= 128 {
        return Ok(());
    }
    let help = "use letters, digits, `-`, `_` and `.`, starting with a letter or a digit, at most 128 of them";
    Err(wrong(format!("`{text}` is not a name")).help(help))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn token(text: &str) -> Result<(), Wrong> {
    if is_token(text) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not a token")).help("use letters, digits and !#$%&'*+-.^_`|~"))
}

fn header_name(text: &str) -> Result<(), Wrong> {
    if is_token(text) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not the name of a header field")).help("use letters, digits and `-`"))
}

fn method(text: &str) -> Result<(), Wrong> {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    if !is_token(text) {
        return Err(wrong(format!("`{text}` is not a method")).help("write one such as `GET`; several go in a list"));
    }
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "CONNECT" => Err(wrong("`CONNECT` asks for a tunnel, which a gateway does not give")),
        "TRACE" => Err(wrong("`TRACE` is refused by every platform that Postern runs on")),
        _ if upper != text && KNOWN.contains(&upper.as_str()) => {
            Err(wrong(format!("no client sends the method `{text}`: methods are case-sensitive"))
                .help(format!("write `{upper}`")))
        }
        _ => Ok(()),
    }
}

fn host_pattern(text: &str) -> Result<(), Wrong> {
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':']).next().unwrap_or_default();
        return Err(wrong(format!("`{text}` is an address, not a host")).help(format!("write `{host}`")));
    }
    Host::parse(text).map(drop).map_err(told)
}

fn host_header(text: &str) -> Result<(), Wrong> {
    match text {
        "target" | "keep" => Ok(()),
        _ if crate::route::pattern::authority(text).is_some() => Ok(()),
        _ => {
            Err(wrong(format!("`{text}` is not a host"))
                .help("write `target`, `keep`, or a host with or without a port"))
        }
    }
}

fn cidr(text: &str) -> Result<(), Wrong> {
    text.parse::<Cidr>().map(drop).map_err(told)
}

fn path_pattern(text: &str) -> Result<(), Wrong> {
    legal_path(text)?;
    Pattern::parse(text).map(drop).map_err(told)
}

fn path_prefix(text: &str) -> Result<(), Wrong> {
    legal_path(text)?;
    Pattern::parse_prefix(text).map(drop).map_err(|message| {
        // The prefix that was meant is what stands before the catch-all.
        match text.rsplit_once("/{*") {
            Some((prefix, _)) if !prefix.is_empty() => {
                wrong(format!("`{text}` takes the rest of the path twice")).help(format!("write `{prefix}`"))
            }
            Some(_) | None => told(message),
        }
    })
}

fn plain_path(text: &str) -> Result<(), Wrong> {
    if let Some(at) = text.find(['{', '}']) {
        let what = wrong(format!("`{text}` must be the same for every request")).part(at, text.len());
        return Err(what.help("use `rewrite` to put parameters in a path"));
    }
    legal_path(text)
}

/// What no request can have in its path at all.
fn legal_path(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        let help = if text.contains("://") {
            "write only the path; the host goes in `host`".to_owned()
        } else {
            format!("write `/{text}`")
        };
        return Err(wrong(format!("the path `{text}` does not begin with `/`")).help(help));
    }
    if let Some(at) = text.find('?') {
        return Err(wrong("a path has no query").help("use `query` for parameters").part(at, text.len()));
    }
    // Parameters are not part of what a request has; braces are looked at by the pattern.
    match path::normalise(&text.replace(['{', '}'], "x")) {
        Ok(_) => Ok(()),
        Err(path::Invalid::PercentEncoding) => {
            let bad = |at: &usize| {
                let digits = text.as_bytes().get(at + 1..at + 3);
                !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            };
            let at = text.match_indices('%').map(|(at, _)| at).find(bad).unwrap_or(0);
            Err(wrong("two hexadecimal digits must follow a `%`")
                .help("write `%25` for the percent sign itself")
                .part(at, at + 1))
        }
        Err(path::Invalid::Control) => Err(wrong("a path has no control characters")),
        Err(path::Invalid::Backslash) => {
            let at = text.find('\\').unwrap_or(0);
            Err(wrong("a path has no backslash: such requests are refused").help("write `/`").part(at, at + 1))
        }
        Err(path::Invalid::Fragment) => {
            let at = text.find('#').unwrap_or(0);
            Err(wrong("a path has no `#`: browsers do not send what follows it")
                .help("write `%23` for the character itself")
                .part(at, at + 1))
        }
        Err(path::Invalid::NotAbsolute) => Err(wrong("a path begins with `/`")),
    }
}

fn regex(text: &str) -> Result<(), Wrong> {
    text.parse::<Regex>().map(drop).map_err(|message| {
        let help = ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|look| text.contains(look)).then(|| {
            "look-around is not supported, so that matching takes linear time; `not` can exclude requests".to_owned()
        });
        Wrong { help, ..wrong(message) }
    })
}

fn template(text: &str) -> Result<(), Wrong> {
    match Template::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(told(error.message).part(error.at, error.at + error.length)),
    }
}

/// Only what can be said without knowing the values of references.
fn target_url(text: &str) -> Result<(), Wrong> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(error) => return Err(told(error.message).part(error.at, error.at + error.length)),
    };
    use crate::template::Piece;
    let mut known = String::new();
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => known.push_str(text),
            Piece::Reference(_) => known.push('\0'),
            Piece::Parameter(_) | Piece::Variable(_) => {
                return Err(wrong("the address of a target does not depend on the request")
                    .help("only `${env:NAME}` and `${secret:NAME}` may stand here; `rewrite` changes the path"));
            }
        }
    }
    if known.starts_with('\0') {
        return after_authority(text, known.trim_start_matches('\0'));
    }
    let Some((scheme, rest)) = known.split_once("://") else {
        let local = known.starts_with(|c: char| c.is_ascii_digit() || c == '[') || known.starts_with("localhost");
        let scheme = if local { "http" } else { "https" };
        return Err(wrong(format!("the address `{text}` has no scheme")).help(format!("write `{scheme}://{text}`")));
    };
    match scheme {
        "http" | "https" => {}
        _ => {
            return Err(wrong(format!("targets are reached by http or https, not by `{scheme}`"))
                .help("write `http://` or `https://`")
                .part(0, scheme.len()));
        }
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(wrong("an address holds no user name or password")
            .help("send an `authorization` field with the `headers` policy and `${secret:NAME}`"));
    }
    if authority.is_empty() {
        return Err(wrong(format!("the address `{text}` has no host")));
    }
    if !authority.contains('\0') && crate::route::pattern::authority(authority).is_none() {
        return Err(wrong(format!("`{authority}` is not a host with or without a port")));
    }
    after_authority(text, path)
}

fn after_authority(text: &str, path: &str) -> Result<(), Wrong> {
    if path.contains('?') {
        let at = text.find('?').unwrap_or(0);
        return Err(wrong("the address of a target has no query: the one of the request is sent").part(at, text.len()));
    }
    if path.contains('#') {
        let at = text.find('#').unwrap_or(0);
        return Err(wrong("the address of a target has no fragment").part(at, text.len()));
    }
    if path.is_empty() || path.contains('\0') { Ok(()) } else { legal_base(path) }
}

fn legal_base(path: &str) -> Result<(), Wrong> {
    let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    match path::normalise(&rooted) {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong(format!("`{path}` is not the path of an address"))),
    }
}

fn country(text: &str) -> Result<(), Wrong> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(());
    }
    let upper = text.to_ascii_uppercase();
    let help = if upper.len() == 2 && upper.bytes().all(|b| b.is_ascii_uppercase()) {
        format!("write `{upper}`")
    } else {
        "write two capital letters (ISO 3166-1), such as `DE`".to_owned()
    };
    Err(wrong(format!("`{text}` is not the code of a country")).help(help))
}

fn data_centre(text: &str) -> Result<(), Wrong> {
    let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not the name of a data centre")).help("write it in capitals, such as `FRA`"))
}

/// The path in the spelling that requests have after normalisation, parameters kept; `None` where it is that already.
pub(super) fn normal_path(text: &str) -> Option<String> {
    let parameters: Vec<&str> = text.split('/').filter(|segment| is_parameter(segment)).collect();
    let mut next = 0;
    let plain: Vec<String> = text
        .split('/')
        .map(|segment| {
            if is_parameter(segment) {
                next += 1;
                format!("~{}~", next - 1)
            } else {
                segment.to_owned()
            }
        })
        .collect();
    let plain = plain.join("/");
    let normal = path::normalise(&plain).ok()?;
    if normal == plain {
        return None;
    }
    let normal = parameters
        .iter()
        .enumerate()
        .fold(normal.into_owned(), |path, (number, parameter)| path.replace(&format!("~{number}~"), parameter));
    Some(normal)
}

fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}

fn wrong(message: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), help: None, part: None }
}

/// A message of the running types' own: what follows the last semicolon says what to write instead.
fn told(message: String) -> Wrong {
    match message.rsplit_once("; ") {
        Some((message, help)) => wrong(message).help(help),
        None => wrong(message),
    }
}

impl Wrong {
    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    fn part(self, start: usize, end: usize) -> Self {
        Self { part: Some((start, end)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, milliseconds) in [("500ms", 500), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000)] {
            assert_eq!(duration(text), Ok(milliseconds), "{text}");
        }
        for text in ["", "s", "10", "10 days", "1.5s", "0s", "25h", "99999999999999999999s", "-1s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        for (text, bytes) in [("512", 512), ("8KiB", 8192), ("10MB", 10_000_000), ("1GB", 1_000_000_000), ("0", 0)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("8kb").map_err(|wrong| wrong.help), Err(Some("write `8KB`".to_owned())));
        assert_eq!(size("8M").map_err(|wrong| wrong.help), Err(Some("write `8MB`".to_owned())));
        assert_eq!(size("8 KiB").map_err(|wrong| wrong.help), Err(Some("write `8KiB`".to_owned())));
        assert!(size("99999999999GiB").is_err());
    }

    #[test]
    fn paths_are_offered_in_their_normal_spelling() {
        for (written, normal) in [
            ("/a/{id}", None),
            ("/a b/{id:int}/{*rest}", Some("/a%20b/{id:int}/{*rest}")),
            ("/%7euser", Some("/~user")),
            ("/a%2fb", Some("/a%2Fb")),
            ("/a/./b", Some("/a/b")),
            ("/a/../{id}", Some("/{id}")),
        ] {
            assert_eq!(normal_path(written).as_deref(), normal, "{written}");
        }
    }

    #[test]
    fn addresses_of_targets() {
        for url in [
            "http://127.0.0.1:9000",
            "https://api.example.com/v1/",
            "http://[::1]:80/x",
            "${env:ORIGIN}",
            "${env:ORIGIN}/base",
            "https://${env:HOST}:8443/x",
        ] {
            assert_eq!(target_url(url), Ok(()), "{url}");
        }
        for url in [
            "127.0.0.1:9000",
            "ftp://a",
            "http://",
            "http://user@a",
            "http://a/?q",
            "http://a#f",
            "http://a:99999",
            "http://a b",
            "http://{request.host}",
            "http://{id}",
            "${env:ORIGIN}?x",
            "http://a/%zz",
        ] {
            assert!(target_url(url).is_err(), "{url}");
        }
    }
}
