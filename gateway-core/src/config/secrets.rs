//! Finds what looks like a key or a password in a configuration, where it would be copied, committed and printed.
//!
//! Two signs give a secret away: a beginning that an issuer gives its keys, and a run of letters and digits that no word
//! and no number has. What is said of a find never repeats it.
//!
//! Two marks say that a find is meant: `${test:…}` around a value in a template, and `allow: [literal-secret]` for
//! whatever stands beside it.

use super::{
    load::Loaded,
    node::{Entry, Node, Value},
    problem::{Problem, Span},
    source::Sources,
};

/// The code of these problems. They are errors, and yet can be allowed.
pub(super) const CODE: &str = "literal-secret";

/// Reports every secret in every file, and keeps other problems from repeating one.
pub(super) fn find(loaded: &Loaded, sources: &Sources, problems: &mut Vec<Problem>) {
    let mut search = Search { sources, problems: Vec::new(), found: Vec::new() };
    loaded.roots.iter().flatten().for_each(|root| search.node(root, ""));
    for problem in problems.iter_mut() {
        for secret in &search.found {
            problem.message = problem.message.replace(secret, "…");
            problem.help = problem.help.take().map(|help| help.replace(secret, "…"));
        }
    }
    problems.append(&mut search.problems);
}

/// Whether a text has something in it that looks like a secret.
pub(super) fn is_in(text: &str) -> bool {
    secret_in(text, false).is_some()
}

struct Search<'a> {
    sources: &'a Sources,
    problems: Vec<Problem>,
    found: Vec<String>,
}

impl Search<'_> {
    fn node(&mut self, node: &Node, field: &str) {
        match &node.value {
            Value::Text(text) => {
                if let Some(found) = secret_in(text, is_public(field)) {
                    self.report(node.at, text, &found);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.node(item, field)),
            Value::Map(entries) if allows(entries) => {}
            Value::Map(entries) => {
                // A JSON Web Key with a private part (RFC 7517, RFC 7518 §6).
                let is_key = entries.iter().any(|entry| entry.name == "kty");
                for entry in entries {
                    let private = matches!(entry.name.as_str(), "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k");
                    match entry.value.text() {
                        Some(text) if is_key && private && marked(text) == text => {
                            let found = Found { what: "the private part of a key", at: 0, length: text.len() };
                            self.report(entry.value.at, text, &found);
                        }
                        Some(_) | None => self.node(&entry.value, &entry.name),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {}
        }
    }

    fn report(&mut self, at: Span, text: &str, found: &Found) {
        self.found.extend(text.get(found.at..found.at + found.length).map(str::to_owned));
        // Only a text without escapes and quotes has its parts where the file has them.
        let at = match self.sources.text(at).find(text) {
            Some(offset) => at.part(offset + found.at, offset + found.at + found.length),
            None => at,
        };
        let problem = Problem::error(CODE, at, format!("this looks like {}", found.what));
        let help = "give it to the platform and write `${secret:NAME}`; `${test:…}` around it, or `allow: [literal-secret]` \
                    beside it, says that it opens nothing";
        self.problems.push(problem.help(help));
    }
}

fn allows(entries: &[Entry]) -> bool {
    let lists = entries.iter().filter(|entry| entry.name == "allow");
    lists.flat_map(|entry| entry.value.items()).any(|code| code.text() == Some(CODE))
}

/// Fields whose values are long and random and meant to be seen.
fn is_public(field: &str) -> bool {
    matches!(
        field,
        "hash"
            | "prefix"
            | "fingerprint"
            | "fingerprints"
            | "thumbprint"
            | "thumbprints"
            | "kid"
            | "n"
            | "x"
            | "y"
            | "x5c"
            | "x5t"
            | "x5t#S256"
            | "public_key"
            | "$schema"
            | "client_id"
            | "audience"
            | "audiences"
    )
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    what: &'static str,
    at: usize,
    length: usize,
}

fn secret_in(text: &str, public: bool) -> Option<Found> {
    let unmarked = marked(text);
    let text = unmarked.as_str();
    if let Some(at) = text.find("PRIVATE KEY-----") {
        let start = text[..at].rfind("-----BEGIN").unwrap_or(0);
        return Some(Found { what: "a private key", at: start, length: text.len() - start });
    }
    for (at, token) in tokens(text) {
        let issued = ISSUED.iter().find(|issued| {
            token.strip_prefix(issued.prefix).is_some_and(|rest| {
                rest.len() >= issued.least
                    && rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
            })
        });
        if let Some(issued) = issued {
            return Some(Found { what: issued.what, at, length: token.len() });
        }
    }
    if public {
        return None;
    }
    // Base64 with slashes and plus signs is only told from a path where it is all there is.
    let whole = text.trim_end_matches('=');
    let base64 = !whole.starts_with('/')
        && whole.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
        && whole.contains(['+', '/'])
        && is_random(&whole.replace(['+', '/'], ""));
    if base64 {
        return Some(Found { what: "a secret: nobody writes such letters by hand", at: 0, length: text.len() });
    }
    tokens(text)
        .find(|(at, token)| !is_digest(text, *at) && token.split(['.', '-', '_']).any(is_random))
        .map(|(at, token)| Found { what: "a secret: nobody writes such letters by hand", at, length: token.len() })
}

/// The text with all that is marked as a value for tests blanked out.
fn marked(text: &str) -> String {
    let mut out = text.to_owned();
    while let Some(start) = out.find("${test:") {
        let end = out[start..].find('}').map_or(out.len(), |end| start + end + 1);
        out.replace_range(start..end, &" ".repeat(end - start));
    }
    out
}

/// What issuers let their secrets begin with, and how much follows at least.
struct Issued {
    prefix: &'static str,
    least: usize,
    what: &'static str,
}

const ISSUED: &[Issued] = &[
    Issued { prefix: "sk_live_", least: 10, what: "a secret key of Stripe" },
    Issued { prefix: "rk_live_", least: 10, what: "a restricted key of Stripe" },
    Issued { prefix: "whsec_", least: 16, what: "a secret of Stripe's webhooks" },
    Issued { prefix: "AKIA", least: 16, what: "an access key of AWS" },
    Issued { prefix: "ASIA", least: 16, what: "a temporary access key of AWS" },
    Issued { prefix: "ghp_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "gho_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "ghu_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "ghs_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "ghr_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "github_pat_", least: 20, what: "a token of GitHub" },
    Issued { prefix: "glpat-", least: 16, what: "a token of GitLab" },
    Issued { prefix: "xoxb-", least: 16, what: "a token of Slack" },
    Issued { prefix: "xoxp-", least: 16, what: "a token of Slack" },
    Issued { prefix: "xapp-", least: 16, what: "a token of Slack" },
    Issued { prefix: "AIza", least: 30, what: "a key of Google" },
    Issued { prefix: "ya29.", least: 20, what: "a token of Google" },
    Issued { prefix: "GOCSPX-", least: 20, what: "a client secret of Google" },
    Issued { prefix: "sk-ant-", least: 20, what: "a key of Anthropic" },
    Issued { prefix: "sk-proj-", least: 20, what: "a key of OpenAI" },
    Issued { prefix: "SG.", least: 30, what: "a key of SendGrid" },
    Issued { prefix: "npm_", least: 30, what: "a token of npm" },
    Issued { prefix: "dop_v1_", least: 30, what: "a token of DigitalOcean" },
    Issued { prefix: "shpat_", least: 20, what: "a token of Shopify" },
    Issued { prefix: "hvs.", least: 20, what: "a token of Vault" },
    Issued { prefix: "cfut_", least: 20, what: "a token of Cloudflare" },
    Issued { prefix: "eyJ", least: 40, what: "a JSON Web Token" },
];

/// Runs of the characters that keys are made of, and where they begin.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.split(move |c: char| !inside(c)).filter(|token| !token.is_empty()).map(move |token| {
        // The token is a part of the text, so the difference of their places is an index into it.
        (token.as_ptr() as usize - text.as_ptr() as usize, token)
    })
}

/// `sha256-…` of a script or style, which a Content-Security-Policy shows to everybody.
fn is_digest(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| ["sha256-", "sha384-", "sha512-"].iter().any(|hash| rest.starts_with(hash)))
}

/// Whether a run of letters and digits was drawn rather than written. Of words, only beginnings are in upper case, and digits
/// stand together: there are few changes from one kind of character to another. Where characters are drawn, every second or
/// third one is a change.
fn is_random(run: &str) -> bool {
    let (mut upper, mut lower, mut digits, mut changes) = (0, 0, 0, 0);
    let (mut longest, mut length) = (0, 0);
    let mut last = None;
    for b in run.bytes() {
        let kind = match b {
            b'0'..=b'9' => Kind::Digit,
            b'A'..=b'Z' => Kind::Upper,
            b'a'..=b'z' => Kind::Lower,
            _ => return false,
        };
        match kind {
            Kind::Digit => digits += 1,
            Kind::Upper => upper += 1,
            Kind::Lower => lower += 1,
        }
        length = if last == Some(kind) { length + 1 } else { 1 };
        if kind != Kind::Digit {
            longest = longest.max(length);
        }
        let begins_a_word = last == Some(Kind::Upper) && kind == Kind::Lower;
        changes += usize::from(last.is_some_and(|last| last != kind) && !begins_a_word);
        last = Some(kind);
    }
    let many_changes = changes * 10 >= run.len() * 3 && longest <= 7;
    let one_case = upper == 0 || lower == 0;
    let mixed = run.len() >= 20 && upper >= 2 && lower >= 2 && digits >= 1 && many_changes;
    let plain = run.len() >= 24 && one_case && digits >= 4 && many_changes;
    let hex =
        run.len() >= 32 && one_case && run.bytes().all(|b| b.is_ascii_hexdigit()) && digits >= 6 && digits < run.len();
    (mixed || plain || hex) && entropy(run) >= 3.0
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Digit,
    Upper,
    Lower,
}

/// Shannon's, in bits for each character.
fn entropy(run: &str) -> f64 {
    let mut counts = [0u32; 128];
    run.bytes().for_each(|b| counts[usize::from(b & 127)] += 1);
    #[expect(clippy::cast_precision_loss, reason = "lengths of texts in a configuration are small")]
    let length = run.len() as f64;
    counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length).map(|p| -p * p.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_in_what_stands_around_them() {
        for (text, what) in [
            ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "a secret key of Stripe"),
            ("Bearer ghp_16C7e42F292c6912E7710c838347Ae178B4a", "a token of GitHub"),
            ("AKIAIOSFODNN7EXAMPLE", "an access key of AWS"),
            ("https://a.example/?key=AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "a key of Google"),
            ("-----BEGIN PRIVATE KEY-----\nMIGH", "a private key"),
            ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
            (
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
                "a JSON Web Token",
            ),
            ("wJa2rXUtn5EMI/K7MDq9G/bPxR3iCYzXa7PLk4z9", "a secret: nobody writes such letters by hand"),
            ("Token 7f3Kq9ZpX2mLw8RtVb4N", "a secret: nobody writes such letters by hand"),
            ("pk_7fQ2_0h3KzP9sWm4Rb7TnXq2LdVc8YjGf5A1uE", "a secret: nobody writes such letters by hand"),
            ("9b74c9897bac770ffc029102a200c5de", "a secret: nobody writes such letters by hand"),
        ] {
            assert_eq!(secret_in(text, false).map(|found| found.what), Some(what), "{text}");
        }
    }

    #[test]
    fn what_people_write_is_none() {
        for text in [
            "https://api.example.com/v1/customers/{customer_id}/orders",
            "the-quick-brown-fox-jumps-over-the-lazy-dog",
            "OAuth2CallbackHandlerForCustomersV2",
            "TheVeryLongNameOfARouteIn2026AndItsVersion12",
            "550e8400-e29b-41d4-a716-446655440000",
            "max-age=31536000; includeSubDomains; preload",
            "default-src 'self'; script-src 'sha256-4RS22DYeB7U14dra4KcQYxmwt5HkOInieXK1NUMBmQI='",
            "2027-01-31T18:00:00+01:00",
            "^/v[0-9]+/(?<tenant>[a-z0-9-]+)/",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "AKIA",
            "sk_live_",
            "${secret:STRIPE_SECRET_KEY_FOR_LIVE_2026}",
            "${test:sk_live_4eC39HqLyjWDarjtT1zdp7dc} and ${test:9b74c9897bac770ffc029102a200c5de",
            "application/vnd.example.customer+json",
            "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
            "000000000000000000000000000000000000000000000000",
            "",
        ] {
            assert_eq!(secret_in(text, false), None, "{text}");
        }
        let hash = "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90";
        assert!(secret_in(hash, false).is_some() && secret_in(hash, true).is_none());
    }

    #[test]
    fn most_of_what_is_drawn_is_found() {
        let mut seed = 7u64;
        let mut draw = |alphabet: &[u8], length: usize| -> String {
            let mut one = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(alphabet[(seed >> 33) as usize % alphabet.len()])
            };
            (0..length).map(|_| one()).collect()
        };
        const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for (alphabet, length, least) in [(BASE62, 33, 90), (BASE62, 24, 85), (b"0123456789abcdef".as_slice(), 40, 95)]
        {
            let found = (0..100).filter(|_| secret_in(&draw(alphabet, length), false).is_some()).count();
            assert!(found >= least, "{found} of 100 with {length} characters");
        }
    }
}
