//! Signs requests as services of AWS want it (Signature Version 4, `Authorization` header).
//!
//! What is signed is what is sent: path and query are first written in the one spelling that nobody on the way writes anew, and
//! only fields are signed that no platform changes. The client has no part in it: its own `x-amz-` fields, which would be
//! signed with the rest, go unless the configuration keeps them.

use crate::consumer::hex;
use crate::http::{Body, Headers, Scheme, percent_decode, percent_encode};
use crate::platform::{Call, Failure, FetchError, Platform, ReadError, Timestamp};
use crate::pump;
use crate::template::{Settings, Template};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt;

/// In whose name, and for what, as it was compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aws {
    /// `eu-central-1`.
    pub region: Template,
    /// `s3`, `execute-api`, `lambda`: as the service calls itself in signatures.
    pub service: String,
    /// Who signs.
    pub access_key_id: Template,
    /// With what.
    pub secret_access_key: Template,
    /// What temporary keys come with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Template>,
    /// What becomes of bodies.
    pub payload: Payload,
    /// The client's `x-amz-` fields that go on, and are signed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keep: Vec<String>,
}

/// How a body is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// By its hash, for which it is read into memory, up to so many bytes; a longer one is refused.
    Hash(u64),
    /// By its hash up to so many bytes, and not at all beyond that or where nobody knows how long it is.
    HashUpTo(u64),
}

/// Who signs, for what. Shown, it says nothing of its secret.
pub struct Signer {
    region: String,
    service: String,
    access_key_id: String,
    secret: Vec<u8>,
    session_token: Option<String>,
    payload: Payload,
    keep: Vec<String>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("service", &self.service).finish_non_exhaustive()
    }
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const HASH: &str = "x-amz-content-sha256";
const DATE: &str = "x-amz-date";
const TOKEN: &str = "x-amz-security-token";

impl Signer {
    /// Fills in the references.
    pub fn new(rule: &Aws, settings: &Settings) -> Result<Self, String> {
        let text = |name: &str, template: &Template| {
            let value = template.resolve(settings).trim().to_owned();
            let fits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic());
            if fits { Ok(value) } else { Err(format!("`{name}` for {} is empty or no single word", rule.service)) }
        };
        Ok(Self {
            region: text("region", &rule.region)?,
            service: rule.service.clone(),
            access_key_id: text("access_key_id", &rule.access_key_id)?,
            secret: format!("AWS4{}", text("secret_access_key", &rule.secret_access_key)?).into_bytes(),
            session_token: rule.session_token.as_ref().map(|token| text("session_token", token)).transpose()?,
            payload: rule.payload,
            keep: rule.keep.clone(),
        })
    }

    /// How many bytes a body may have, where each is hashed.
    pub fn most(&self) -> Option<u64> {
        match self.payload {
            Payload::Hash(most) => Some(most),
            Payload::HashUpTo(_) => None,
        }
    }

    /// Signs a call that names its target. Reads its body where that is hashed.
    pub async fn sign<P: Platform>(&self, platform: &P, call: &mut Call<P::Stream>) -> Result<(), Failure> {
        let hash = self.hash(platform, call).await?;
        let usual = match call.scheme {
            Scheme::Http => ":80",
            Scheme::Https => ":443",
        };
        // Both platforms write `Host` as the URL has it, and some leave out the port that goes without saying.
        if let Some(host) = call.authority.strip_suffix(usual) {
            call.authority = host.to_owned();
        }
        call.host = None;
        call.target = spelled(&call.target);
        self.write(&mut call.headers, &call.method, &call.authority, &call.target, &hash, platform.now());
        Ok(())
    }

    /// The hash of the body, which is in memory then; or that there is none.
    async fn hash<P: Platform>(&self, platform: &P, call: &mut Call<P::Stream>) -> Result<String, Failure> {
        let declared = call.headers.content_length();
        let most = match self.payload {
            Payload::Hash(most) => most,
            Payload::HashUpTo(most) if declared.is_some_and(|length| length <= most) => most,
            Payload::HashUpTo(_) if matches!(call.body, Body::Stream(_) | Body::Pumped(..) | Body::Made(_)) => {
                return Ok(UNSIGNED.to_owned());
            }
            Payload::HashUpTo(_) => u64::MAX,
        };
        let room = usize::try_from(most).unwrap_or(usize::MAX);
        let too_large = || {
            let detail = format!("the body is longer than the {most} bytes that are hashed for a signature");
            Failure { error: FetchError::BodyTooLarge, detail }
        };
        if declared.is_some_and(|length| length > most) {
            return Err(too_large());
        }
        let bytes = match std::mem::replace(&mut call.body, Body::Empty) {
            Body::Empty => return Ok(hex(&Sha256::digest(b""))),
            Body::Bytes(bytes) if bytes.len() > room => return Err(too_large()),
            Body::Bytes(bytes) => bytes,
            body @ (Body::Stream(_) | Body::Pumped(..) | Body::Made(_)) => {
                pump::read(platform, body, room).await.map_err(|error| match error {
                    ReadError::TooLarge => too_large(),
                    ReadError::Broken(detail) => Failure { error: FetchError::ClientGone, detail },
                })?
            }
        };
        let hash = hex(&Sha256::digest(&bytes));
        if declared.is_none() {
            call.headers.set("content-length", bytes.len().to_string());
        }
        call.body = Body::Bytes(bytes);
        Ok(hash)
    }

    /// Writes the fields of a signature.
    fn write(&self, headers: &mut Headers, method: &str, host: &str, target: &str, hash: &str, now: Timestamp) {
        let kept = |name: &str| self.keep.iter().any(|keep| keep == name);
        let own = |name: &str| name.replace('_', "-").starts_with("x-amz-");
        let foreign: Vec<String> =
            headers.iter().map(|(name, _)| name).filter(|name| own(name) && !kept(name)).map(str::to_owned).collect();
        foreign.iter().for_each(|name| headers.remove(name));
        let time = time(now);
        headers.set(DATE, &time);
        headers.set(HASH, hash);
        if let Some(token) = &self.session_token {
            headers.set(TOKEN, token);
        }
        let signed: Vec<(String, String)> = self.signed_fields(headers, host);
        let names = signed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let request = canonical_request(method, &self.path(path), query, &signed, &names, hash);
        let scope = format!("{}/{}/{}/aws4_request", &time[..8], self.region, self.service);
        let signature = self.signature(&time, &scope, &request);
        let key = &self.access_key_id;
        headers.remove_lookalikes("authorization");
        headers.set(
            "authorization",
            format!("{ALGORITHM} Credential={key}/{scope}, SignedHeaders={names}, Signature={signature}"),
        );
    }

    /// What nobody on the way changes, by name.
    fn signed_fields(&self, headers: &Headers, host: &str) -> Vec<(String, String)> {
        let mut names: Vec<&str> = headers
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with("x-amz-") || *name == "content-type")
            .collect();
        names.push("host");
        names.sort_unstable();
        names.dedup();
        let value = |name: &str| if name == "host" { host.to_owned() } else { joined(headers, name) };
        names.into_iter().map(|name| (name.to_owned(), value(name))).collect()
    }

    /// The path as it is signed. S3 takes it as it is sent; everybody else writes the sent one anew, percent signs included.
    fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        if self.service == "s3" || self.service.starts_with("s3-") {
            return path.into();
        }
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let mut out = segments.fold(String::new(), |out, segment| out + "/" + &percent_encode(segment));
        if path.ends_with('/') || out.is_empty() {
            out.push('/');
        }
        out.into()
    }

    fn signature(&self, time: &str, scope: &str, request: &str) -> String {
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let parts = [&time[..8], &self.region, &self.service, "aws4_request", &text];
        let first: Vec<u8> = self.secret.clone();
        hex(&parts.iter().fold(first, |key, part| mac(&key, part)))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The text whose hash is signed.
fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    fields: &[(String, String)],
    names: &str,
    hash: &str,
) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let query: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let fields: String = fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    format!("{method}\n{path}\n{}\n{fields}\n{names}\n{hash}", query.join("&"))
}

/// The values of a field as they are signed: on one line, with single spaces.
fn joined(headers: &Headers, name: &str) -> String {
    let values = headers.all(name).map(|value| {
        let text = String::from_utf8_lossy(value);
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    values.collect::<Vec<_>>().join(",")
}

/// Path and query in the spelling that is signed and that no URL parser changes: everything but letters, digits, `-`, `.`, `_`
/// and `~` as `%XX`. A plus sign in a query is what forms write for a space.
fn spelled(target: &str) -> String {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let path: Vec<String> = path.split('/').map(|segment| percent_encode(percent_decode(segment))).collect();
    let mut out = path.join("/");
    if let Some(query) = query {
        let part = |text: &str| percent_encode(percent_decode(&text.replace('+', " ")));
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) => format!("{}={}", part(name), part(value)),
            None => part(pair),
        });
        out.push('?');
        out.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    out
}

/// `20150830T123600Z`
fn time(now: Timestamp) -> String {
    let seconds = now / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// The date so many days after 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::path::Path;

    /// A case of a suite in the form of AWS's own.
    struct Case {
        context: Value,
        request: String,
        canonical: String,
        signature: String,
    }

    fn case(folder: &Path) -> Case {
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        Case {
            context: serde_json::from_str(&read("context.json")).unwrap_or_default(),
            request: read("request.txt"),
            canonical: read("header-canonical-request.txt"),
            signature: read("header-signature.txt").trim().to_owned(),
        }
    }

    /// Says what the case is about that this signer does otherwise by intention; else plays it.
    fn play(name: &str, case: &Case) -> Option<&'static str> {
        let context = |name: &str| case.context.pointer(name);
        let text = |name: &str| context(name).and_then(Value::as_str).unwrap_or_default();
        let raw = context("/normalize") == Some(&Value::Bool(false));
        let (head, body) = case.request.split_once("\n\n").unwrap_or((&case.request, ""));
        // A line that begins with a space goes on with the one before (an older HTTP).
        let head = head.replace("\n ", " ");
        let mut lines = head.lines();
        let start = lines.next().unwrap_or_default();
        let (method, rest) = start.split_once(' ').unwrap_or_default();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap_or(rest);
        let mut headers = Headers::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap_or_default();
            headers.append(name, value);
        }
        let settings = Settings::new();
        let signs_body = context("/sign_body") == Some(&Value::Bool(true));
        let token = text("/credentials/token");
        let signer = Signer::new(
            &Aws {
                region: Template::literal(text("/region")),
                service: text("/service").to_owned(),
                access_key_id: Template::literal(text("/credentials/access_key_id")),
                secret_access_key: Template::literal(text("/credentials/secret_access_key")),
                session_token: (!token.is_empty()).then(|| Template::literal(token)),
                payload: Payload::Hash(1 << 20),
                keep: Vec::new(),
            },
            &settings,
        )
        .expect("a signer");
        if context("/omit_session_token") == Some(&Value::Bool(true)) {
            return Some("a session token that is added after signing: here it is signed, as everywhere but in IoT");
        }
        // The suite signs every field that is there; here only those are that nobody changes. The suite's own choice shows
        // that the rest is right, so its fields are taken.
        let now = 1_440_938_160_000;
        assert_eq!(text("/timestamp"), "2015-08-30T12:36:00Z", "{name}");
        let hash = hex(&Sha256::digest(body));
        headers.set(DATE, time(now));
        if signs_body {
            headers.set(HASH, &hash);
        }
        if let Some(token) = &signer.session_token {
            headers.set(TOKEN, token);
        }
        let mut names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let fields: Vec<(String, String)> =
            names.iter().map(|name| ((*name).to_owned(), joined(&headers, name))).collect();
        // The suite's targets stand for what is sent, not encoded yet.
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = if raw {
            // As S3 gets it.
            spelled(path)
        } else {
            let path = crate::path::normalise(&percent_encode(path).replace("%2F", "/")).map(Cow::into_owned);
            signer.path(&String::from_utf8_lossy(&percent_decode(&path.expect("a path")))).into_owned()
        };
        let query = spelled(&format!("/?{query}"));
        let request =
            canonical_request(method, &path, query.trim_start_matches("/?"), &fields, &names.join(";"), &hash);
        assert_eq!(request, case.canonical, "{name}");
        let scope = format!("20150830/{}/{}/aws4_request", signer.region, signer.service);
        assert_eq!(signer.signature(&time(now), &scope, &request), case.signature, "{name}");
        None
    }

    #[test]
    fn the_suite_of_aws_is_signed_as_it_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/suites/sigv4");
        let Ok(cases) = std::fs::read_dir(&folder) else {
            println!("skipped: the suite is not there");
            return;
        };
        let mut played = 0;
        for entry in cases.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match play(&name, &case(&entry.path())) {
                None => played += 1,
                Some(why) => println!("left out: {name} ({why})"),
            }
        }
        assert_eq!(played, 37, "all but one");
    }

    fn signer(service: &str, token: Option<&str>) -> Signer {
        let rule = Aws {
            region: Template::literal("us-east-1"),
            service: service.to_owned(),
            access_key_id: Template::literal("AKIDEXAMPLE"),
            secret_access_key: Template::literal("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: token.map(Template::literal),
            payload: Payload::Hash(100),
            keep: vec!["x-amz-acl".to_owned()],
        };
        Signer::new(&rule, &Settings::new()).expect("a signer")
    }

    /// Three of AWS's own (get-vanilla, get-vanilla-query-order-encoded, get-space-normalized), for when the suite is not there.
    #[test]
    fn signatures_are_those_of_aws() {
        let signer = signer("service", None);
        let time = time(1_440_938_160_000);
        let fields = [("host".to_owned(), "example.amazonaws.com".to_owned()), (DATE.to_owned(), time.clone())];
        let hash = hex(&Sha256::digest(b""));
        for (target, signature) in [
            ("/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", QUERY),
            ("/example space/", SPACE),
        ] {
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let request = canonical_request("GET", &signer.path(path), query, &fields, "host;x-amz-date", &hash);
            let scope = "20150830/us-east-1/service/aws4_request";
            assert_eq!(signer.signature(&time, scope, &request), signature, "{target}");
        }
    }
    const QUERY: &str = "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac";
    const SPACE: &str = "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741";

    #[test]
    fn what_the_client_says_to_aws_is_not_signed() {
        let mut headers = Headers::from_block(
            b"x-amz-date\x001\nx-amz-copy-source\0/other/secret\nx_amz_meta-a\x001\nx-amz-acl\0private\nauthorization\0mine\n\
              content-type\0text/plain\ncookie\0a=b\n"
                .to_vec(),
        );
        signer("s3", Some("token")).write(&mut headers, "PUT", "b.example", "/k", "h", 1_440_938_160_000);
        let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
        assert!(!names.contains(&"x-amz-copy-source") && !names.contains(&"x_amz_meta-a"), "{names:?}");
        assert_eq!(headers.all(DATE).collect::<Vec<_>>(), [b"20150830T123600Z"]);
        let authorization = headers.text("authorization").expect("a signature");
        let signed = "SignedHeaders=content-type;host;x-amz-acl;x-amz-content-sha256;x-amz-date;x-amz-security-token,";
        assert!(authorization.contains(signed), "{authorization}");
        assert_eq!(headers.all("authorization").count(), 1);
    }

    #[test]
    fn what_is_sent_has_one_spelling() {
        for (target, sent) in [
            ("/a b/ä?x=a+b&y&z=%7e'", "/a%20b/%C3%A4?x=a%20b&y&z=~%27"),
            ("/a%2Fb//c/?a=b=c", "/a%2Fb//c/?a=b%3Dc"),
            ("/", "/"),
            ("/?", "/?"),
        ] {
            assert_eq!(spelled(target), sent);
            assert_eq!(spelled(sent), sent, "once is enough");
        }
    }

    #[test]
    fn only_s3_takes_the_path_as_it_is_sent() {
        let path = |service: &str, path: &str| signer(service, None).path(path).into_owned();
        assert_eq!(path("s3", "/a%20b//c"), "/a%20b//c");
        assert_eq!(path("execute-api", "/a%20b//c"), "/a%2520b/c");
        assert_eq!(path("execute-api", "/"), "/");
        assert_eq!(path("execute-api", "/a/"), "/a/");
    }

    #[test]
    fn moments_are_written_as_aws_does() {
        for (now, written) in [
            (0, "19700101T000000Z"),
            (951_782_399_999, "20000228T235959Z"),
            (951_782_400_000, "20000229T000000Z"),
            (1_440_938_160_000, "20150830T123600Z"),
            (4_107_542_400_000, "21000301T000000Z"),
        ] {
            assert_eq!(time(now), written);
        }
    }
}
