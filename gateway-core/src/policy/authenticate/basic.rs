//! A user name and a password (RFC 7617).

use super::Verdict;
use crate::caller::Caller;
use crate::consumer::{By, Consumers, hex};
use crate::held::Halves;
use crate::http::Headers;
use crate::platform::Platform;
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

/// Asks for a user name and a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Basic {
    /// What the password is for, as browsers show it.
    pub realm: String,
    /// Whether the upstream gets to see the credential.
    #[serde(default)]
    pub keep: bool,
    /// How many iterations an unknown name costs: as many as the costliest password of the configuration.
    pub cost: u32,
}

impl Basic {
    /// Looks for a name and a password. An unknown name takes as long as a wrong password; a right one is remembered.
    pub async fn judge<P: Platform>(&self, headers: &Headers, consumers: &Consumers, platform: &P) -> Verdict {
        let (username, password) = match credentials(headers) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => return Verdict::Missing,
            Err(reason) => return Verdict::Wrong(reason),
        };
        let consumer = match consumers.look_up(platform, By::Username(&username)).await {
            Ok(consumer) => consumer,
            Err(error) => return Verdict::Unknowable(error.0),
        };
        let stored =
            consumer.as_deref().and_then(|consumer| consumer.passwords.iter().find(|p| p.username == username));
        let hash = stored
            .and_then(|stored| stored.hash.reveal().parse().ok())
            .unwrap_or_else(|| PasswordHash::nobody(self.cost));
        let right = fits(&hash, &password, &consumers.proven);
        match (consumer, right) {
            (Some(consumer), true) => Verdict::Proven(Caller {
                consumer: Some(consumer),
                credential: Some(username),
                proofs: vec!["basic"],
                ..Caller::default()
            }),
            _ => Verdict::Wrong("The user name or the password is wrong."),
        }
    }

    /// Takes the credential out of what goes on.
    pub fn strip(&self, headers: &mut Headers) {
        if !self.keep && sent(headers).next().is_some() {
            headers.remove("authorization");
        }
    }

    /// RFC 7617 §2.
    pub fn challenge(&self) -> String {
        format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm)
    }
}

/// Whether this is the password, which is costly to say for the first time only. What is remembered is a hash with the
/// stored one in it, so that another password of the same user is another memory.
fn fits(hash: &PasswordHash, password: &str, proven: &RefCell<Halves<()>>) -> bool {
    let memory = hex(&Sha256::new().chain_update(hash.to_string()).chain_update([0]).chain_update(password).finalize());
    if proven.borrow_mut().get(&memory).is_some() {
        return true;
    }
    let right = hash.fits(password);
    if right {
        proven.borrow_mut().put(&memory, ());
    }
    right
}

/// How often the hash of a password is iterated unless the operator says otherwise. OWASP asks for 600 000, which no
/// platform at the edge gives a request the time for: some milliseconds of Wasm are what can be spent on every guess.
pub const USUAL_ITERATIONS: u32 = 10_000;

/// The most iterations that are computed: what one request may cost is bounded, whatever the configuration says.
pub const MOST_ITERATIONS: u32 = 100_000;

/// What a password is checked against: `pbkdf2-sha256$iterations$salt$hash`, the last two in Base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash {
    iterations: u32,
    salt: Vec<u8>,
    hash: Secret<[u8; 32]>,
}

impl PasswordHash {
    /// Hashes a password. The cost is kept within what may be spent.
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        let iterations = iterations.clamp(1, MOST_ITERATIONS);
        Self { iterations, salt: salt.to_vec(), hash: derive(password, salt, iterations).into() }
    }

    /// Whether this is the password. Takes as long for a wrong one as for the right one.
    pub fn fits(&self, password: &str) -> bool {
        Secret::new(derive(password, &self.salt, self.iterations)) == self.hash
    }

    /// How many iterations it costs to check a password.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// A hash that no password is known to have.
    fn nobody(cost: u32) -> Self {
        Self { iterations: cost.clamp(1, MOST_ITERATIONS), salt: vec![0; 16], hash: [0; 32].into() }
    }
}

impl FromStr for PasswordHash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('$');
        let (Some("pbkdf2-sha256"), Some(iterations), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("it must be `pbkdf2-sha256$iterations$salt$hash`");
        };
        let iterations = iterations.parse().ok().filter(|count| (1..=MOST_ITERATIONS).contains(count));
        let iterations = iterations.ok_or("the iterations must be a number from 1 to 100000")?;
        let salt = STANDARD.decode(salt).ok().filter(|salt| salt.len() >= 8);
        let salt = salt.ok_or("the salt must be 8 bytes or more, in Base64")?;
        let hash = STANDARD.decode(hash).ok().and_then(|hash| <[u8; 32]>::try_from(hash).ok());
        let hash = hash.map(Secret::new).ok_or("the hash must be 32 bytes, in Base64")?;
        Ok(Self { iterations, salt, hash })
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { iterations, salt, hash } = self;
        write!(f, "pbkdf2-sha256${iterations}${}${}", STANDARD.encode(salt), STANDARD.encode(hash.reveal()))
    }
}

fn derive(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut computed = [0u8; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut computed);
    computed
}

/// What stands behind `Basic` in every `Authorization` line that has it.
fn sent(headers: &Headers) -> impl Iterator<Item = String> {
    headers.all("authorization").map(String::from_utf8_lossy).filter_map(|value| {
        let (scheme, rest) = crate::http::credentials(&value);
        scheme.eq_ignore_ascii_case("basic").then(|| rest.to_owned())
    })
}

/// Name and password. Two of them are none: nobody can say which was meant.
fn credentials(headers: &Headers) -> Result<Option<(String, String)>, &'static str> {
    const MALFORMED: &str = "The Authorization field is malformed.";
    let mut all = sent(headers);
    let Some(encoded) = all.next() else { return Ok(None) };
    if all.any(|other| other != encoded) {
        return Err("The request holds several credentials.");
    }
    let decoded = STANDARD.decode(encoded).map_err(|_| MALFORMED)?;
    let text = std::str::from_utf8(&decoded).map_err(|_| MALFORMED)?;
    let (username, password) = text.split_once(':').ok_or(MALFORMED)?;
    Ok(Some((username.to_owned(), password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::{self, Consumer, Password};
    use crate::platform::{Failure, FetchError};
    use crate::testing::{TestPlatform, run};

    fn consumers() -> Consumers {
        let password = |username: &str, hash: String| Password { username: username.into(), hash: hash.into() };
        let alice = Consumer {
            name: "alice".into(),
            passwords: vec![
                password("alice", PasswordHash::new("open:sesame", b"saltsalt", 10).to_string()),
                password("ålice", PasswordHash::new("pässword", b"saltsalt", 10).to_string()),
                password("damaged", "pbkdf2-sha256$10$!$!".into()),
            ],
            ..Consumer::default()
        };
        let (table, records) = consumer::freeze(&[alice]).expect("small");
        Consumers::new(table.into(), records.into())
    }

    fn judged(authorization: &str) -> Result<Option<String>, &'static str> {
        let headers = Headers::from_block(format!("authorization\0{authorization}\n").into_bytes());
        let platform = TestPlatform::new(|_| Err(Failure { error: FetchError::Unreachable, detail: String::new() }));
        match run(Basic { realm: "r".into(), keep: false, cost: 10 }.judge(&headers, &consumers(), &platform)) {
            Verdict::Proven(caller) => Ok(caller.credential),
            Verdict::Missing => Ok(None),
            Verdict::Wrong(reason) => Err(reason),
            Verdict::Unknowable(_) => Err("unknowable"),
        }
    }

    #[test]
    fn a_password_is_computed_once_and_a_wrong_one_never_remembered() {
        let proven = RefCell::default();
        let (hash, other) =
            (PasswordHash::new("right", b"saltsalt", 10), PasswordHash::new("right", b"other salt", 10));
        assert!(!fits(&hash, "wrong", &proven) && proven.borrow().is_empty());
        assert!(fits(&hash, "right", &proven) && fits(&hash, "right", &proven));
        assert_eq!(proven.borrow().len(), 1);
        assert!(!fits(&hash, "wrong", &proven));
        assert!(fits(&other, "right", &proven));
        assert_eq!(proven.borrow().len(), 2, "another hash is another memory");
    }

    #[test]
    fn names_and_passwords_are_read_as_rfc_7617_says() {
        const WRONG: Result<Option<String>, &str> = Err("The user name or the password is wrong.");
        const MALFORMED: Result<Option<String>, &str> = Err("The Authorization field is malformed.");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (field, expected) in [
            (basic("alice:open:sesame"), Ok(Some("alice".to_owned()))),
            (basic("ålice:pässword"), Ok(Some("ålice".to_owned()))),
            (basic("alice:open:sesame").replace("Basic", "bASIC"), Ok(Some("alice".to_owned()))),
            (basic("alice:open"), WRONG),
            (basic("alice:"), WRONG),
            (basic("bob:open:sesame"), WRONG),
            (basic("damaged:"), WRONG),
            (basic("alice"), MALFORMED),
            (basic("alice:open:sesame").replace(' ', "\t"), MALFORMED),
            (format!("Bearer x\nauthorization\0{}", basic("alice:open:sesame")), Ok(Some("alice".to_owned()))),
            (
                format!("{}\nauthorization\0{}", basic("bob:x"), basic("alice:open:sesame")),
                Err("The request holds several credentials."),
            ),
            ("Basic".to_owned(), MALFORMED),
            ("Basic ???".to_owned(), MALFORMED),
            ("Basic /w==".to_owned(), MALFORMED),
            ("Bearer x".to_owned(), Ok(None)),
            (String::new(), Ok(None)),
        ] {
            assert_eq!(judged(&field), expected, "{field}");
        }
    }

    #[test]
    fn only_a_basic_credential_stays_behind() {
        for (field, keep, left) in [("Basic YTpi", false, false), ("Basic YTpi", true, true), ("Bearer x", false, true)]
        {
            let mut headers = Headers::from_block(format!("authorization\0{field}\n").into_bytes());
            Basic { realm: "r".into(), keep, cost: 10 }.strip(&mut headers);
            assert_eq!(headers.contains("authorization"), left, "{field} {keep}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_its_cost_is_bounded() {
        let hash = PasswordHash::new("password", b"salt for it", 4096);
        assert!(hash.fits("password") && !hash.fits("Password") && !hash.fits(""));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        // RFC 7914 §11.
        let known = PasswordHash::new("Password", b"NaCl", 80_000);
        assert!(known.to_string().ends_with("$TdzY9guYviGDDO5e8icB+WQaRBjQTAQUrv8Ih2s0q1Y="), "{known}");
        assert!(PasswordHash::new("p", b"saltsalt", u32::MAX).to_string().starts_with("pbkdf2-sha256$100000$"));
        for wrong in [
            "",
            "plain",
            "pbkdf2-sha1$1$c2FsdHNhbHQ=$AAAA",
            "pbkdf2-sha256$0$c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "pbkdf2-sha256$100001$c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "pbkdf2-sha256$1$$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            "pbkdf2-sha256$1$c2FsdHNhbHQ=$AAAA",
        ] {
            assert!(wrong.parse::<PasswordHash>().is_err(), "{wrong}");
        }
    }
}
