//! Texts with rules of their own: durations, sizes, ranges of addresses, paths, templates, and what to write instead.

use crate::{
    cache::storing::Statuses,
    certificate::DistinguishedName,
    client::Cidr,
    errand::Address,
    path,
    policy::authenticate::basic::PasswordHash,
    quota::{calendar::Zone, rate::Rate},
    route::{Host, Pattern, Regex},
    signature::component::Component,
    template::Template,
};

use chrono::{DateTime, Offset, TimeZone};

use super::{node::Value, suggest::closest};

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
    Format {
        name: "Share",
        code: "bad-share",
        noun: "a percentage such as `0.5%`",
        check: |text| share(text).map(drop),
    },
    Format {
        name: "Statuses",
        code: "bad-statuses",
        noun: "a status, or a range such as `200-299`",
        check: |text| statuses(text).map(drop),
    },
    Format {
        name: "AnyDuration",
        code: "bad-duration",
        noun: "a duration such as `10s`, or `0s`",
        check: |text| any_duration(text).map(drop),
    },
    Format {
        name: "CookieAge",
        code: "bad-duration",
        noun: "how long a cookie is kept, such as `30d`",
        check: |text| cookie_age(text).map(drop),
    },
    Format { name: "CheckPath", code: "bad-path", noun: "a path such as `/health`", check: check_path },
    Format { name: "Name", code: "bad-name", noun: "a name", check: name },
    Format { name: "Token", code: "bad-token", noun: "a token", check: token },
    Format { name: "HeaderName", code: "bad-header-name", noun: "the name of a header field", check: header_name },
    Format {
        name: "MetadataName",
        code: "bad-header-name",
        noun: "the name of a header field, perhaps with `*` behind it",
        check: |text| header_name(text.strip_suffix('*').unwrap_or(text)),
    },
    Format { name: "Method", code: "bad-method", noun: "a method such as `GET`", check: method },
    Format { name: "HostPattern", code: "bad-host", noun: "a host such as `api.example.com`", check: host_pattern },
    Format { name: "HostHeader", code: "bad-host", noun: "`target`, `keep` or a host", check: host_header },
    Format { name: "HostName", code: "bad-host", noun: "a host such as `api.example.com`", check: host_name },
    Format { name: "Cidr", code: "bad-cidr", noun: "a range of addresses such as `10.0.0.0/8`", check: cidr },
    Format { name: "PathPattern", code: "bad-path", noun: "a path such as `/files/{*rest}`", check: path_pattern },
    Format { name: "PathPrefix", code: "bad-path", noun: "a path such as `/files`", check: path_prefix },
    Format { name: "PlainPath", code: "bad-path", noun: "a path such as `/files`", check: plain_path },
    Format { name: "JsonPath", code: "bad-json-path", noun: "a path such as `items.*.price`", check: json_path },
    Format {
        name: "SoapVersion",
        code: "bad-soap-version",
        noun: "`1.1` or `1.2`",
        check: |text| soap_version(text).map(drop),
    },
    Format { name: "RootField", code: "bad-root-field", noun: "a field such as `Query.orders`", check: root_field },
    Format { name: "Query", code: "bad-query", noun: "a JMESPath expression", check: query },
    Format {
        name: "AnswerStatus",
        code: "bad-status",
        noun: "a status such as `404` or `5xx`",
        check: |text| answer_status(text).map(drop),
    },
    Format {
        name: "StatusClass",
        code: "bad-status",
        noun: "a status such as `404` or `5xx`",
        check: |text| status_class(text).map(drop),
    },
    Format { name: "StepName", code: "bad-step-name", noun: "the name of a step such as `user`", check: step_name },
    Format { name: "StatusTemplate", code: "bad-template", noun: "a status", check: template },
    Format { name: "Regex", code: "bad-regex", noun: "a regular expression", check: regex },
    Format { name: "Template", code: "bad-template", noun: "text", check: template },
    Format {
        name: "TargetUrl",
        code: "bad-url",
        noun: "an address such as `http://127.0.0.1:9000`",
        check: target_url,
    },
    Format { name: "Address", code: "bad-url", noun: "an address such as `https://idp.example.com`", check: address },
    Format { name: "BindingName", code: "bad-binding", noun: "a binding such as `ORDERS`", check: binding },
    Format { name: "Origin", code: "bad-origin", noun: "an origin such as `https://app.example.com`", check: origin },
    Format {
        name: "MediaRange",
        code: "bad-media-type",
        noun: "a media type such as `application/json`",
        check: media_range,
    },
    Format { name: "KeyHash", code: "bad-hash", noun: "a hash as `postern key new` prints it", check: key_hash },
    Format { name: "KeyPrefix", code: "bad-prefix", noun: "the first characters of a key", check: key_prefix },
    Format { name: "Username", code: "bad-username", noun: "a user name", check: username },
    Format {
        name: "PasswordHash",
        code: "bad-hash",
        noun: "a hash as `postern password hash` prints it",
        check: password_hash,
    },
    Format { name: "KeyId", code: "bad-key-id", noun: "the identifier of a key", check: key_id },
    Format {
        name: "CoveredComponent",
        code: "bad-component",
        noun: "what a signature can cover, such as `@method`",
        check: covered_component,
    },
    Format {
        name: "DistinguishedName",
        code: "bad-distinguished-name",
        noun: "a distinguished name such as `CN=orders,O=Acme`",
        check: distinguished_name,
    },
    Format { name: "Fingerprint", code: "bad-fingerprint", noun: "the SHA-256 of a certificate", check: fingerprint },
    Format { name: "SignedHeader", code: "bad-header-name", noun: "the name of a header field", check: signed_header },
    Format { name: "Label", code: "bad-label", noun: "the label of a signature such as `sig1`", check: label },
    Format { name: "Realm", code: "bad-realm", noun: "a few words", check: realm },
    Format {
        name: "Expression",
        code: "bad-expression",
        noun: "an expression such as `claims.tenant == \"acme\"`",
        check: expression,
    },
    Format { name: "Scope", code: "bad-scope", noun: "a scope such as `orders:read`", check: scope },
    Format {
        name: "Moment",
        code: "bad-moment",
        noun: "a date such as `2027-01-31`",
        check: |text| moment(text).map(drop),
    },
    Format { name: "Country", code: "bad-country", noun: "a country such as `DE`", check: country },
    Format { name: "Rate", code: "bad-rate", noun: "a rate such as `100 per second`", check: rate },
    Format {
        name: "TimeZone",
        code: "bad-time-zone",
        noun: "a time zone such as `Europe/Berlin`",
        check: |text| zone(text).map(drop),
    },
    Format {
        name: "CacheStatuses",
        code: "bad-status",
        noun: "a status such as `404`, `5xx` or `default`",
        check: |text| cache_statuses(text).map(drop),
    },
    Format {
        name: "Pointer",
        code: "bad-pointer",
        noun: "a JSON Pointer such as `/usage/total_tokens`",
        check: pointer,
    },
    Format {
        name: "RedisUrl",
        code: "bad-url",
        noun: "the address of a Redis such as `redis://127.0.0.1:6379`",
        check: redis_url,
    },
    Format { name: "DataCentre", code: "bad-data-centre", noun: "a data centre such as `FRA`", check: data_centre },
];

/// What to write instead of a value that is not even a text.
pub(super) fn instead(definition: &str, value: &Value) -> Option<String> {
    match (definition, value) {
        ("Duration" | "AnyDuration", Value::Integer(number)) => {
            Some(format!("a duration needs a unit: `{number}s` or `{number}ms`"))
        }
        ("Share", Value::Float(_)) => Some("write a fraction of a percent as a text: `0.5%`".to_owned()),
        ("Size", Value::Float(_)) => Some("write a whole number and a unit: `512`, `8KiB`, `10MB`".to_owned()),
        _ => None,
    }
}

/// A duration in milliseconds.
/// Which statuses are meant.
pub(super) fn cache_statuses(text: &str) -> Result<Statuses, Wrong> {
    let wrong = || Wrong {
        message: format!("`{text}` is neither a status from 200 to 599, nor all of a hundred, nor `default`"),
        help: Some("write a status such as `404`, or `5xx`, or `default`".to_owned()),
        part: None,
    };
    match text {
        "default" => Ok(Statuses::Usual),
        "2xx" | "3xx" | "4xx" | "5xx" => Ok(Statuses::Hundred(u16::from(text.as_bytes()[0] - b'0'))),
        _ => match text.parse() {
            Ok(status @ (200..=599)) => Ok(Statuses::One(status)),
            Ok(_) | Err(_) => Err(wrong()),
        },
    }
}

pub(super) fn duration(text: &str) -> Result<u64, Wrong> {
    match any_duration(text)? {
        0 => Err(wrong(format!("a duration of `{text}` leaves no time at all")).help("write at least `1ms`")),
        milliseconds => Ok(milliseconds),
    }
}

/// The same, where no time at all is said, too.
pub(super) fn any_duration(text: &str) -> Result<u64, Wrong> {
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
        Some(milliseconds) => Ok(milliseconds),
        None => Err(wrong(format!("the duration `{text}` is too long")).help("write at most `24h`")),
    }
}

/// How long a cookie is kept, in seconds.
pub(super) fn cookie_age(text: &str) -> Result<u64, Wrong> {
    // RFC 6265bis §5.5: browsers keep none for longer.
    const LONGEST: u64 = 400 * 86_400;
    let bad = || wrong(format!("`{text}` is not how long a cookie is kept")).help("write `15m`, `12h` or `30d`");
    let (digits, unit) = split_number(text);
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let number: u64 = digits.parse().map_err(|_| bad())?;
    let seconds = number.checked_mul(factor).filter(|seconds| *seconds <= LONGEST);
    seconds.ok_or_else(|| wrong(format!("no browser keeps a cookie for `{text}`")).help("write at most `400d`"))
}

/// A percentage with at most two decimals, in parts of 10,000.
pub(super) fn share(text: &str) -> Result<u32, Wrong> {
    let bad = || wrong(format!("`{text}` is not a percentage")).help("write `5%` or `0.25%`, at most `100%`");
    let number = text.strip_suffix('%').ok_or_else(bad)?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole, 3) || !digits(decimals, 2) {
        return Err(bad());
    }
    let parts = whole.parse::<u32>().ok().zip(format!("{decimals:0<2}").parse::<u32>().ok());
    parts.map(|(whole, decimals)| whole * 100 + decimals).filter(|parts| *parts <= 10_000).ok_or_else(bad)
}

/// A status, or the first and the last of several.
pub(super) fn statuses(text: &str) -> Result<(u16, u16), Wrong> {
    let bad = || wrong(format!("`{text}` is no status and no range of them")).help("write `200`, or `200-299`");
    let status = |text: &str| text.parse::<u16>().ok().filter(|status| text.len() == 3 && (100..600).contains(status));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = status(first).zip(status(last)).ok_or_else(bad)?;
    if first > last {
        return Err(wrong(format!("`{text}` ends before it begins")).help(format!("write `{last}-{first}`")));
    }
    Ok((first, last))
}

/// Path and query of a request that the gateway makes for itself.
fn check_path(text: &str) -> Result<(), Wrong> {
    let (path, _) = text.split_once('?').unwrap_or((text, ""));
    if !text.starts_with('/') {
        return Err(wrong(format!("the path `{text}` does not begin with `/`")).help(format!("write `/{text}`")));
    }
    if text.contains('#') || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(wrong(format!("`{text}` has something in it that no path and query can have"))
            .help("percent-encode it, and leave out the fragment"));
    }
    match normal_path(path) {
        Some(normal) => Err(wrong(format!("`{text}` is not how this path is sent")).help(format!("write `{normal}`"))),
        None => crate::path::normalise(path).map(drop).map_err(|invalid| wrong(invalid.to_string())),
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

fn step_name(text: &str) -> Result<(), Wrong> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.bytes().all(allowed) && text.len() <= 64
    {
        return Ok(());
    }
    let help = "use letters, digits and `_`, starting with a letter or `_`, at most 64 of them";
    Err(wrong(format!("`{text}` is not the name of a step")).help(help))
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

fn host_name(text: &str) -> Result<(), Wrong> {
    match text {
        // What can stand instead of one where it is the `Host` that an upstream sees.
        "target" | "keep" => Err(wrong(format!("`{text}` is not a host here"))
            .help("write a host, or remove it: the one that was asked for is kept")),
        _ if crate::route::pattern::authority(text).is_some() => Ok(()),
        _ => Err(wrong(format!("`{text}` is not a host")).help("write a host with or without a port")),
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
        Err(path::Invalid::Dots) => Err(wrong("a path has no segments of dots")),
        Err(path::Invalid::NotAbsolute) => Err(wrong("a path begins with `/`")),
    }
}

/// Only its size. What is wrong in it depends on the route, and is found in several places at once.
fn expression(text: &str) -> Result<(), Wrong> {
    if text.trim().is_empty() {
        return Err(wrong("there is no expression here").help("write a condition: `request.method == \"GET\"`"));
    }
    if text.len() > super::expression::LONGEST {
        let most = super::expression::LONGEST;
        return Err(
            wrong(format!("an expression has at most {most} bytes")).help("put its parts into a list: all must hold")
        );
    }
    Ok(())
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

fn root_field(text: &str) -> Result<(), Wrong> {
    let is_name = |name: &str| {
        let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(goes_on)
    };
    match text.split_once('.') {
        Some(("Query" | "Mutation" | "Subscription", name)) if name == "*" || is_name(name) => Ok(()),
        Some(_) | None => Err(wrong(format!("`{text}` is no field of the root of a schema"))
            .help("write `Query.orders`, or `Mutation.*` for all of a kind")),
    }
}

/// Which SOAP.
pub(super) fn soap_version(text: &str) -> Result<super::written::SoapVersion, Wrong> {
    match text {
        "1.1" => Ok(super::written::SoapVersion::One),
        "1.2" => Ok(super::written::SoapVersion::Two),
        _ => Err(wrong(format!("there is no SOAP {text}")).help("write `1.1` or `1.2`")),
    }
}

pub(super) fn json_path(text: &str) -> Result<(), Wrong> {
    match crate::shape::Path::parse(text) {
        Some(_) => Ok(()),
        None => {
            Err(wrong(format!("`{text}` is not a path")).help("write steps with dots between, such as `user.name`"))
        }
    }
}

fn query(text: &str) -> Result<(), Wrong> {
    crate::shape::query::Query::parse(text).map(drop).map_err(|(at, why)| {
        let end = text.len().min(at + 1);
        let wrong = told(format!("this is not JMESPath: {why}"));
        if text.is_char_boundary(at) && text.is_char_boundary(end) && at < end { wrong.part(at, end) } else { wrong }
    })
}

/// From this status to that one.
pub(super) fn status_class(text: &str) -> Result<(u16, u16), Wrong> {
    let read = |text: String| text.parse().ok().filter(|status| (100..=599).contains(status));
    let bounds = match text.strip_suffix("xx") {
        Some(class) => read(format!("{class}00")).zip(read(format!("{class}99"))),
        None => read(text.to_owned()).zip(read(text.to_owned())),
    };
    bounds.filter(|_| text.len() == 3).ok_or_else(|| {
        wrong(format!("`{text}` is neither a status nor a class of them"))
            .help("write `503`, or `5xx` for all from 500 to 599")
    })
}

pub(super) fn answer_status(text: &str) -> Result<super::written::AnswerStatus, Wrong> {
    use super::written::AnswerStatus;
    let digit = |text: &str| text.parse::<u16>().ok().filter(|digit| (2..=5).contains(digit));
    if let Some(class) = text.strip_suffix("xx").filter(|class| class.len() == 1).and_then(digit) {
        return Ok(AnswerStatus::Class(class));
    }
    match text.parse() {
        Ok(status @ 200..=599) if text.len() == 3 => Ok(AnswerStatus::One(status)),
        _ => Err(wrong(format!("`{text}` is not a status")).help("write `404`, or `4xx` for all that begin alike")),
    }
}

fn pointer(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        return Err(wrong("a JSON Pointer begins with a slash").help(format!("write `/{}`", text.replace('.', "/"))));
    }
    // RFC 6901 §3: a tilde is `~0`, a slash in a name `~1`.
    let tilde = text.match_indices('~').find(|(at, _)| !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')));
    match tilde {
        Some((at, _)) => Err(wrong("after `~` stands 0 or 1").help("`~0` is a tilde, `~1` a slash").part(at, at + 1)),
        None => Ok(()),
    }
}

fn redis_url(text: &str) -> Result<(), Wrong> {
    template(text)?;
    if !text.starts_with("${") && !text.starts_with("redis://") && !text.starts_with("rediss://") {
        return Err(
            wrong("this is not the address of a Redis").help("write `redis://host:6379`, or `rediss://` for TLS")
        );
    }
    let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if !user.ends_with('}') && user.split_once(':').is_some_and(|(_, password)| !password.is_empty()) {
        return Err(wrong("a password has no place in a configuration")
            .help("name one of the platform's secrets: `redis://:${secret:REDIS_PASSWORD}@host:6379`"));
    }
    Ok(())
}

fn binding(text: &str) -> Result<(), Wrong> {
    let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_name && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(wrong("a binding's name has letters, digits and `_`").help("write it as in `wrangler.toml`, such as `ORDERS`"))
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
            Piece::Parameter(_) | Piece::Variable(_) | Piece::Member(..) | Piece::Document(_) | Piece::Piped(..) => {
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

/// A date, or a date and a time with its offset (RFC 3339), in milliseconds since the Unix epoch.
pub(super) fn moment(text: &str) -> Result<u64, Wrong> {
    let help = "write `2027-01-31`, or with a time `2027-01-31T18:00:00Z`";
    let told = || wrong(format!("`{text}` is not a date")).help(help);
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(told());
    };
    let (year, month, day) =
        (digits(year, 4).ok_or_else(told)?, digits(month, 2).ok_or_else(told)?, digits(day, 2).ok_or_else(told)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err(wrong(format!("there is no month {month}")).help(help)),
    };
    if !(1..=days).contains(&day) {
        return Err(wrong(format!("the month {year}-{month:02} has {days} days")));
    }
    if year < 1970 {
        return Err(wrong(format!("`{text}` is before the clock of any computer starts")));
    }
    let mut seconds = days_since_1970(year, month, day) * 86_400;
    if let Some(time) = time {
        let (clock, offset) = match time.strip_suffix(['Z', 'z']) {
            Some(clock) => (clock, 0),
            None => {
                let at = time.rfind(['+', '-']).ok_or_else(|| {
                    wrong(format!("the time `{time}` does not say where it is"))
                        .help(format!("write `{text}Z` for UTC"))
                })?;
                let (clock, offset) = time.split_at(at);
                let (hours, minutes) = offset[1..].split_once(':').ok_or_else(told)?;
                let (hours, minutes) = (digits(hours, 2).ok_or_else(told)?, digits(minutes, 2).ok_or_else(told)?);
                if hours > 23 || minutes > 59 {
                    return Err(told());
                }
                let offset = hours * 3600 + minutes * 60;
                (clock, if time[at..].starts_with('-') { -offset } else { offset })
            }
        };
        // Fractions of a second make no difference to a deadline.
        let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
        let mut parts = clock.split(':');
        let (Some(hour), Some(minute), Some(second), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(told());
        };
        let (hour, minute, second) = (
            digits(hour, 2).ok_or_else(told)?,
            digits(minute, 2).ok_or_else(told)?,
            digits(second, 2).ok_or_else(told)?,
        );
        if hour > 23 || minute > 59 || second > 60 {
            return Err(told());
        }
        seconds += hour * 3600 + minute * 60 + second - offset;
    }
    u64::try_from(seconds).map(|seconds| seconds * 1000).map_err(|_| told())
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// The proleptic Gregorian calendar; years are counted from March, so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

fn origin(text: &str) -> Result<(), Wrong> {
    if matches!(text, "*" | "null") {
        return Ok(());
    }
    let Some((scheme, authority)) = text.split_once("://") else {
        let local = text.starts_with("localhost") || text.starts_with("127.");
        let help = format!("write `{}://{text}`", if local { "http" } else { "https" });
        return Err(wrong(format!("the origin `{text}` has no scheme")).help(help));
    };
    if let Some(at) = authority.find(['/', '?', '#']) {
        let help = format!("write `{scheme}://{}`", &authority[..at]);
        let part = scheme.len() + 3 + at;
        return Err(wrong("an origin has no path: browsers send none").help(help).part(part, text.len()));
    }
    let lower = text.to_ascii_lowercase();
    if lower != text {
        return Err(wrong("browsers send origins in lower case").help(format!("write `{lower}`")));
    }
    if authority.contains('@') {
        return Err(wrong("an origin has no user name"));
    }
    if authority == "*" {
        return Err(wrong(format!("`{text}` is every origin with this scheme"))
            .help("write `*` for every origin, or the hosts that are meant"));
    }
    let (bare, usual) = match scheme {
        "https" => (authority.strip_suffix(":443"), "443"),
        "http" => (authority.strip_suffix(":80"), "80"),
        _ => (None, ""),
    };
    if let Some(bare) = bare {
        let help = format!("write `{scheme}://{bare}`");
        return Err(wrong(format!("browsers leave out the port {usual}, which is the usual one")).help(help));
    }
    let stars = authority.matches('*').count();
    let plain = match (authority.strip_prefix("*."), authority.strip_suffix(":*")) {
        (Some(rest), None) => rest.to_owned(),
        (None, Some(host)) => format!("{host}:1"),
        (None, None) | (Some(_), Some(_)) => authority.to_owned(),
    };
    if stars > 1 || plain.contains('*') {
        return Err(wrong(format!("the `*` in `{text}` does not stand for whole labels"))
            .help("write `https://*.example.com`, `http://localhost:*`, or `{ regex: … }` for anything else"));
    }
    let known = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !known || crate::route::pattern::authority(&plain).is_none() {
        return Err(
            wrong(format!("`{text}` is not an origin")).help("write it as browsers do: `https://app.example.com`")
        );
    }
    Ok(())
}

fn media_range(text: &str) -> Result<(), Wrong> {
    let help = "write `application/json`, `text/*` or `application/*+json`";
    if let Some((essence, _)) = text.split_once(';') {
        let help = format!("write `{}`", essence.trim());
        return Err(wrong("parameters of a media type make no difference here").help(help));
    }
    let Some((kind, subtype)) = text.split_once('/') else {
        return Err(wrong(format!("`{text}` is not a media type")).help(help));
    };
    let suffix =
        subtype.strip_prefix('*').is_some_and(|rest| rest.is_empty() || rest.strip_prefix('+').is_some_and(is_token));
    let plain = |text: &str| is_token(text) && !text.contains('*');
    if plain(kind) && (plain(subtype) || suffix) && !subtype.trim_start_matches('*').contains('*') {
        return Ok(());
    }
    let help = if text == "*/*" { "leave the list out to take every type" } else { help };
    Err(wrong(format!("`{text}` is not a media type")).help(help))
}

fn key_hash(text: &str) -> Result<(), Wrong> {
    let lower = text.to_ascii_lowercase();
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        // It may well be the key itself, which must not be shown again.
        return Err(
            wrong("this is not the SHA-256 of a key").help("`postern key hash` computes it: 64 hexadecimal digits")
        );
    }
    if lower != text {
        return Err(wrong("the hash of a key is written in lower case").help(format!("write `{lower}`")));
    }
    Ok(())
}

fn key_prefix(text: &str) -> Result<(), Wrong> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if (1..=16).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(wrong("this is not the prefix of a key")
        .help("write its first characters: letters, digits, `-` and `_`, at most 16"))
}

fn username(text: &str) -> Result<(), Wrong> {
    if text.contains(':') {
        return Err(wrong("a user name has no colon: what follows it would be the password"));
    }
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(wrong("a user name has one character at least, and no control characters"));
    }
    Ok(())
}

fn password_hash(text: &str) -> Result<(), Wrong> {
    // What is not a hash may be the password itself, so it is not repeated.
    text.parse::<PasswordHash>().map(drop).map_err(|why| {
        wrong(format!("this is not the hash of a password: {why}")).help("`postern password hash` prints one")
    })
}

/// What it says once the platform's values are known, the gateway checks itself.
fn address(text: &str) -> Result<(), Wrong> {
    match Template::parse(text) {
        Ok(template) => match template.as_literal() {
            Some(url) => Address::parse(url).map(drop).map_err(wrong),
            None => Ok(()),
        },
        Err(error) => Err(told(error.message).part(error.at, error.at + error.length)),
    }
}

fn key_id(text: &str) -> Result<(), Wrong> {
    if !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b) && !matches!(b, b'"' | b'\\')) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not the identifier of a key")).help("write printable ASCII, without quotes"))
}

fn covered_component(text: &str) -> Result<(), Wrong> {
    if Component::parse(text).is_ok() {
        return Ok(());
    }
    let lower = text.to_ascii_lowercase();
    Err(if Component::parse(&lower).is_ok() {
        wrong(format!("`{text}` is written in lower case in signatures")).help(format!("write `{lower}`"))
    } else {
        wrong(format!("`{text}` is nothing that a signature of a request can cover"))
            .help("write `@method`, `@target-uri`, a field's name, or `\"@query-param\";name=\"id\"`")
    })
}

fn distinguished_name(text: &str) -> Result<(), Wrong> {
    text.parse::<DistinguishedName>().map(drop).map_err(|why| wrong(format!("`{text}` cannot be read: {why}")))
}

fn fingerprint(text: &str) -> Result<(), Wrong> {
    if crate::certificate::fingerprint(text).is_some() {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not the SHA-256 of a certificate"))
        .help("`openssl x509 -in certificate.pem -noout -fingerprint -sha256` prints it"))
}

fn signed_header(text: &str) -> Result<(), Wrong> {
    if crate::signature::hmac::TARGETS.contains(&text) { Ok(()) } else { header_name(text) }
}

fn label(text: &str) -> Result<(), Wrong> {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-' | b'.' | b'*');
    if first && text.bytes().all(rest) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not a label")).help("write small letters and digits: `sig1`"))
}

fn realm(text: &str) -> Result<(), Wrong> {
    if !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b) && !matches!(b, b'"' | b'\\')) {
        return Ok(());
    }
    Err(wrong(format!("`{text}` is not a realm")).help("write a few words in ASCII, without quotes"))
}

fn scope(text: &str) -> Result<(), Wrong> {
    if !text.is_empty() && text.bytes().all(|b| (b'!'..=b'~').contains(&b) && !matches!(b, b'"' | b'\\')) {
        return Ok(());
    }
    let help = if text.contains(' ') { "write several as a list" } else { "write printable ASCII, without quotes" };
    Err(wrong(format!("`{text}` is not a scope")).help(help))
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

fn rate(text: &str) -> Result<(), Wrong> {
    text.parse::<Rate>().map(drop).map_err(wrong)
}

/// A time zone, as the list of its changes from 2025 to 2049.
pub(super) fn zone(text: &str) -> Result<Zone, Wrong> {
    if let Some(ahead) = ahead(text) {
        return Ok(Zone(if ahead == 0 { Vec::new() } else { vec![(0, ahead)] }));
    }
    let Ok(zone) = text.parse::<chrono_tz::Tz>() else {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let help = closest(text, known)
            .map_or("write `UTC`, `+05:30` or a name such as `Europe/Berlin`".to_owned(), |meant| {
                format!("did you mean `{meant}`?")
            });
        return Err(wrong(format!("`{text}` is not a time zone")).help(help));
    };
    let offset = |second: i64| {
        let moment = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
        zone.offset_from_utc_datetime(&moment).fix().local_minus_utc() / 60
    };
    let (mut at, end) = (1_735_689_600, 2_524_608_000);
    let mut changes = vec![(0, offset(at))];
    while at < end {
        let next = at + 7 * 86_400;
        if offset(next) != offset(at) {
            // No zone changes twice within a week.
            let (mut before, mut after) = (at, next);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if offset(middle) == offset(at) { before = middle } else { after = middle }
            }
            changes.push((after.unsigned_abs() * 1_000, offset(next)));
        }
        at = next;
    }
    Ok(Zone(changes))
}

/// `UTC`, `+05:30`: minutes ahead of UTC.
fn ahead(text: &str) -> Option<i32> {
    if text == "UTC" {
        return Some(0);
    }
    let (sign, time) = match text.split_at_checked(1)? {
        ("+", time) => (1, time),
        ("-", time) => (-1, time),
        _ => return None,
    };
    let (hours, minutes) = time.split_once(':')?;
    let number = |text: &str, most: i32| {
        let fits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|number: &i32| fits && *number <= most)
    };
    Some(sign * (number(hours, 14)? * 60 + number(minutes, 59)?))
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
    use crate::quota::calendar::{Period, iso};
    use chrono::Datelike;

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
        for (text, seconds) in [("0s", 0), ("90s", 90), ("15m", 900), ("12h", 43_200), ("400d", 34_560_000)] {
            assert_eq!(cookie_age(text), Ok(seconds), "{text}");
        }
        for text in ["", "1", "d", "1w", "1.5h", "401d", "99999999999999999999d", "-1s"] {
            assert!(cookie_age(text).is_err(), "{text}");
        }
        assert_eq!(size("8kb").map_err(|wrong| wrong.help), Err(Some("write `8KB`".to_owned())));
        assert_eq!(size("8M").map_err(|wrong| wrong.help), Err(Some("write `8MB`".to_owned())));
        assert_eq!(size("8 KiB").map_err(|wrong| wrong.help), Err(Some("write `8KiB`".to_owned())));
        assert!(size("99999999999GiB").is_err());
    }

    #[test]
    fn dates_and_times() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-31", 1_801_353_600),
            ("2027-01-31T00:00:00Z", 1_801_353_600),
            ("2027-01-31T01:30:00+01:30", 1_801_353_600),
            ("2027-01-30T19:00:00.5-05:00", 1_801_353_600),
            ("2027-01-31 00:00:01z", 1_801_353_601),
        ] {
            assert_eq!(moment(text), Ok(seconds * 1000), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "2027",
            "2027-1-31",
            "2027-13-01",
            "2027-02-29",
            "2027-01-00",
            "1969-12-31",
            "31.01.2027",
            "2027-01-31T",
            "2027-01-31T10:00:00",
            "2027-01-31T24:00:00Z",
            "2027-01-31T10:00Z",
            "2027-01-31T10:00:00+1:00",
            "2027-01-31T10:00:00+24:00",
            "1970-01-01T00:00:00+01:00",
            "2027-01-31-01",
            "2027-01-31T10:00:00é",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn media_types() {
        for text in ["application/json", "Text/*", "application/*+json", "application/vnd.a.b+json"] {
            assert_eq!(media_range(text), Ok(()), "{text}");
        }
        for text in [
            "",
            "json",
            "*/*",
            "*/json",
            "text/",
            "/json",
            "text/*json",
            "text/*+*",
            "text/a*",
            "text/html; charset=utf-8",
            "a/b/c",
        ] {
            assert!(media_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for text in [
            "*",
            "null",
            "https://app.example.com",
            "http://localhost:3000",
            "http://localhost:*",
            "https://*.example.com",
            "https://*.example.com:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "capacitor://localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        ] {
            assert_eq!(origin(text), Ok(()), "{text}");
        }
        for (text, help) in [
            ("app.example.com", "write `https://app.example.com`"),
            ("localhost:3000", "write `http://localhost:3000`"),
            ("https://app.example.com/", "write `https://app.example.com`"),
            ("https://app.example.com/login?x", "write `https://app.example.com`"),
            ("https://App.example.com", "write `https://app.example.com`"),
            ("https://app.example.com:443", "write `https://app.example.com`"),
            ("http://a:80", "write `http://a`"),
            ("https://*", "write `*` for every origin, or the hosts that are meant"),
        ] {
            assert_eq!(origin(text).map_err(|wrong| wrong.help), Err(Some(help.to_owned())), "{text}");
        }
        for text in [
            "",
            "https://",
            "https://a*.example.com",
            "https://*.*.example.com",
            "https://*.a:*",
            "https://u@a",
            "://a",
            "https://a b",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
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
    fn zones_change_when_clocks_do() {
        let berlin = zone("Europe/Berlin").expect("a zone").0;
        assert_eq!(berlin[..3], [(0, 60), (1_743_296_400_000, 120), (1_761_440_400_000, 60)]);
        assert_eq!(zone("UTC").expect("a zone").0, []);
        assert_eq!(zone("-09:30").expect("a zone").0, [(0, -570)]);
        assert_eq!(zone("Asia/Tokyo").expect("a zone").0, [(0, 540)]);
        let wrong = zone("Europe/Berln").expect_err("no such place");
        assert_eq!(wrong.help.as_deref(), Some("did you mean `Europe/Berlin`?"));
        for text in ["", "+5:30", "+15:00", "Berlin", "05:30"] {
            assert!(zone(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_begin_once_where_clocks_change_around_midnight() {
        for (name, now, start, end) in [
            // Midnight comes twice.
            ("Atlantic/Azores", "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
            ("Atlantic/Azores", "2026-10-25T01:30:00Z", "2026-10-25T00:00:00Z", "2026-10-26T01:00:00Z"),
            ("America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
            ("America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
            // Or not at all.
            ("Africa/Cairo", "2026-04-23T21:30:00Z", "2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z"),
            ("Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"),
            ("Asia/Beirut", "2026-03-28T21:30:00Z", "2026-03-27T22:00:00Z", "2026-03-28T22:00:00Z"),
            ("America/Santiago", "2026-09-06T03:30:00Z", "2026-09-05T04:00:00Z", "2026-09-06T04:00:00Z"),
        ] {
            let zone = zone(name).expect("a zone");
            let now = DateTime::parse_from_rfc3339(now).expect("a moment").timestamp_millis().unsigned_abs();
            let (found, until) = Period::Day.around(now, &zone);
            assert_eq!((iso(found).as_str(), iso(until).as_str()), (start, end), "{name} {now}");
        }
    }

    #[test]
    fn periods_are_those_of_the_data_base_of_time_zones() {
        let names = [
            "Africa/Cairo",
            "Africa/Casablanca",
            "America/Asuncion",
            "America/Havana",
            "America/Nuuk",
            "America/Santiago",
            "America/Scoresbysund",
            "America/St_Johns",
            "Asia/Beirut",
            "Asia/Gaza",
            "Asia/Kathmandu",
            "Atlantic/Azores",
            "Australia/Lord_Howe",
            "Europe/Berlin",
            "Pacific/Chatham",
            "Pacific/Kiritimati",
        ];
        for name in names {
            let (zone, referee) = (zone(name).expect("a zone"), name.parse::<chrono_tz::Tz>().expect("a zone"));
            // When a day begins: the earlier of two midnights, or when clocks first show a time of it.
            let begins = |day: chrono::NaiveDate| {
                let times = (0..1_440).filter_map(|minute| day.and_hms_opt(minute / 60, minute % 60, 0));
                let moments = times.filter_map(|time| referee.from_local_datetime(&time).earliest());
                moments.map(|moment| moment.timestamp_millis().unsigned_abs()).next().expect("a day has a beginning")
            };
            let changes = zone.0.iter().map(|(at, _)| *at).filter(|at| (1..1_900_000_000_000).contains(at));
            for change in changes.chain([1_790_000_000_000]) {
                for off in [-86_400_000, -5_400_000, -3_600_000, -1, 0, 1, 1_800_000, 3_600_000, 5_400_000, 80_000_000]
                {
                    let now = change.saturating_add_signed(off);
                    let moment =
                        DateTime::from_timestamp_millis(i64::try_from(now).expect("a moment")).expect("a moment");
                    let shown = moment.with_timezone(&referee).date_naive();
                    let next = shown.succ_opt().expect("a day");
                    let today = if begins(next) <= now { next } else { shown };
                    let tomorrow = today.succ_opt().expect("a day");
                    let monday = today.week(chrono::Weekday::Mon);
                    let after = monday.last_day().succ_opt().expect("a day");
                    let first = today.with_day(1).expect("a day");
                    let month = first.checked_add_months(chrono::Months::new(1)).expect("a month");
                    for (period, from, to) in [
                        (Period::Day, today, tomorrow),
                        (Period::Week, monday.first_day(), after),
                        (Period::Month, first, month),
                    ] {
                        let expected = (begins(from), begins(to));
                        assert_eq!(period.around(now, &zone), expected, "{name} {now} {period:?}");
                        assert_eq!(period.around(now, &zone.near(now)), expected, "{name} {now} {period:?}, near");
                    }
                }
            }
        }
    }

    #[test]
    fn shares() {
        for (text, parts) in [("0%", 0), ("5%", 500), ("0.5%", 50), ("0.05%", 5), ("100%", 10_000), ("99.99%", 9_999)] {
            assert_eq!(share(text).ok(), Some(parts), "{text}");
        }
        for text in ["", "%", "5", "101%", "100.01%", "0.005%", ".5%", "5.%", "-1%", "1e2%", "+1%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_and_paths_of_checks() {
        assert_eq!(statuses("200-299").ok(), Some((200, 299)));
        assert_eq!(statuses("204").ok(), Some((204, 204)));
        for text in ["", "20", "099", "600", "200-", "-200", "2xx", "299-200", "200-299-300", "+200"] {
            assert!(statuses(text).is_err(), "{text}");
        }
        for path in ["/", "/health", "/a/b?deep=1&x=/../"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in ["", "health", "/a b", "/a#b", "/a/../b", "/%", "/\u{e9}"] {
            assert!(check_path(path).is_err(), "{path}");
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
