//! Who may come in: bearer tokens, compared in constant time, and a bound on attempts with wrong ones.

use super::rules::{Access, Rules};
use crate::error::Error;
use crate::http::Headers;
use crate::platform::Timestamp;
use crate::secret::Secret;
use crate::template::Settings;
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// A token that is known.
#[derive(Debug)]
pub struct Token {
    /// What it is called in the audit log.
    pub name: String,
    /// What it may do.
    pub access: Access,
    /// SHA-256: two texts of any length are compared in the same time.
    hash: Secret<[u8; 32]>,
}

/// All tokens, and who has tried wrong ones.
#[derive(Debug)]
pub struct Guard {
    tokens: Vec<Token>,
    /// By the network of the client.
    attempts: RefCell<HashMap<Option<IpAddr>, Attempts>>,
}

/// Wrong tokens of one network.
#[derive(Debug, Clone, Copy)]
struct Attempts {
    since: Timestamp,
    count: u32,
}

/// A token has at least so many characters: whoever tries some never finds one.
pub const SHORTEST: usize = 32;

/// So many wrong tokens are counted, then those of that network are refused with 429 until the time is over.
const MOST_ATTEMPTS: u32 = 10;

/// In milliseconds.
const WINDOW: u64 = 60_000;

/// So many networks are told apart.
const MOST_NETWORKS: usize = 1_024;

/// What is asked of whoever has no token (RFC 6750 §3).
const CHALLENGE: &str = "Bearer realm=\"postern-admin\"";

impl Guard {
    /// Fills in the platform's values.
    pub fn new(rules: &Rules, settings: &Settings) -> Result<Self, String> {
        let mut tokens: Vec<Token> = Vec::new();
        for rule in &rules.tokens {
            let name = &rule.name;
            let secret = rule.secret.resolve(settings);
            if secret.len() < SHORTEST {
                return Err(format!("the token `{name}` of `admin` has less than {SHORTEST} characters"));
            }
            let hash = Secret::new(digest(&secret));
            if let Some(same) = tokens.iter().find(|token| token.hash == hash) {
                return Err(format!("the tokens `{}` and `{name}` of `admin` are the same", same.name));
            }
            tokens.push(Token { name: name.clone(), access: rule.access, hash });
        }
        Ok(Self { tokens, attempts: RefCell::default() })
    }

    /// Whose token a request holds. It counts only in `Authorization`: addresses are written into logs.
    pub fn admit(&self, headers: &Headers, client: Option<IpAddr>, now: Timestamp) -> Result<&Token, Error> {
        let mut lines = headers.all("authorization");
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(unauthenticated(CHALLENGE.to_owned(), "This needs one bearer token in `Authorization`."));
        };
        let presented = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' '));
        let presented = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let Some((_, presented)) = presented else {
            return Err(unauthenticated(CHALLENGE.to_owned(), "This needs one bearer token in `Authorization`."));
        };
        let hash = Secret::new(digest(presented.trim()));
        // All of them, whichever it is.
        let found = self.tokens.iter().fold(None, |found, token| if token.hash == hash { Some(token) } else { found });
        // Whoever has a token comes in, whatever others of the network try: a token is too long to be guessed, and operators
        // must not be locked out by those who want to.
        found.ok_or_else(|| {
            let network = client.map(network);
            if let Some(wait) = self.blocked(network, now) {
                return Error::LimitReached { status: 429, wait: Some(wait) };
            }
            self.count(network, now);
            unauthenticated(format!("{CHALLENGE}, error=\"invalid_token\""), "The token is not known.")
        })
    }

    /// For how many milliseconds a network has tried enough.
    fn blocked(&self, network: Option<IpAddr>, now: Timestamp) -> Option<u64> {
        let attempts = self.attempts.borrow();
        // Where there is no more room, the others share one place.
        let known = attempts.get(&network).or_else(|| attempts.get(&None).filter(|_| attempts.len() >= MOST_NETWORKS));
        let left = known.filter(|known| known.count >= MOST_ATTEMPTS)?.since.saturating_add(WINDOW);
        left.checked_sub(now).filter(|left| *left > 0)
    }

    fn count(&self, network: Option<IpAddr>, now: Timestamp) {
        let attempts = &mut *self.attempts.borrow_mut();
        if attempts.len() >= MOST_NETWORKS && !attempts.contains_key(&network) {
            attempts.retain(|_, known| now < known.since.saturating_add(WINDOW));
        }
        let place = if attempts.len() >= MOST_NETWORKS && !attempts.contains_key(&network) { None } else { network };
        let known = attempts.entry(place).or_insert(Attempts { since: now, count: 0 });
        if now >= known.since.saturating_add(WINDOW) {
            *known = Attempts { since: now, count: 0 };
        }
        known.count += 1;
    }
}

fn unauthenticated(challenge: String, reason: &'static str) -> Error {
    Error::Unauthenticated { challenges: vec![challenge], reason }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Of an IPv6 address, what one client is given as a whole.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::TokenRule;
    use super::*;
    use crate::template::Template;

    const GOOD: &str = "0123456789abcdef0123456789abcdef";

    fn guard() -> Guard {
        let rule = |name: &str, secret: &str, access| TokenRule {
            name: name.to_owned(),
            secret: Template::literal(secret),
            access,
        };
        let tokens =
            vec![rule("ops", GOOD, Access::Write), rule("eyes", "fedcba9876543210fedcba9876543210", Access::Read)];
        let rules = Rules { path: "/admin".to_owned(), hosts: Vec::new(), tokens };
        Guard::new(&rules, &Settings::new()).expect("the tokens are long enough")
    }

    fn admit(guard: &Guard, line: &str, client: &str, now: Timestamp) -> Result<String, u16> {
        let headers = Headers::from_block(line.as_bytes().to_vec());
        let admitted = guard.admit(&headers, client.parse().ok(), now);
        admitted.map(|token| token.name.clone()).map_err(|error| error.kind().0)
    }

    #[test]
    fn a_token_is_known_by_its_whole() {
        let guard = guard();
        let good = format!("authorization\0Bearer {GOOD}\n");
        assert_eq!(admit(&guard, &good, "192.0.2.1", 0), Ok("ops".to_owned()));
        assert_eq!(admit(&guard, &good.replace("Bearer", "bEARER"), "192.0.2.1", 0), Ok("ops".to_owned()));
        for wrong in [
            String::new(),
            format!("authorization\0{GOOD}\n"),
            format!("authorization\0Basic {GOOD}\n"),
            format!("authorization\0Bearer {}\n", &GOOD[1..]),
            format!("authorization\0Bearer {GOOD}0\n"),
            "authorization\0Bearer \n".to_owned(),
            format!("x-token\0{GOOD}\n"),
            format!("{good}{good}"),
        ] {
            assert_eq!(admit(&guard, &wrong, "192.0.2.1", 0), Err(401), "{wrong}");
        }
    }

    #[test]
    fn attempts_are_bounded_for_each_network() {
        let guard = guard();
        let wrong = "authorization\0Bearer nonsense\n";
        let good = format!("authorization\0Bearer {GOOD}\n");
        for _ in 0..MOST_ATTEMPTS {
            assert_eq!(admit(&guard, wrong, "2001:db8::1", 1_000), Err(401));
        }
        assert_eq!(admit(&guard, wrong, "2001:db8::2", 1_000), Err(429), "the same network");
        assert_eq!(admit(&guard, &good, "2001:db8::1", 1_000), Ok("ops".to_owned()), "nobody locks operators out");
        assert_eq!(admit(&guard, &good, "192.0.2.1", 1_000), Ok("ops".to_owned()));
        assert_eq!(admit(&guard, &good, "2001:db8::1", 61_000), Ok("ops".to_owned()));
        assert_eq!(admit(&guard, wrong, "2001:db8::1", 61_000), Err(401), "it begins anew");
        assert_eq!(admit(&guard, &good, "2001:db8::1", 61_000), Ok("ops".to_owned()));
    }

    #[test]
    fn the_table_of_networks_is_bounded() {
        let guard = guard();
        for number in 0..2_000_u32 {
            let client = std::net::Ipv4Addr::from(number).to_string();
            let _ = admit(&guard, "authorization\0Bearer nonsense\n", &client, 1_000);
        }
        let good = format!("authorization\0Bearer {GOOD}\n");
        assert_eq!(admit(&guard, &good, "192.0.2.1", 1_000), Ok("ops".to_owned()));
        assert!(guard.attempts.borrow().len() <= MOST_NETWORKS + 1);
    }

    #[test]
    fn tokens_that_can_be_guessed_are_none() {
        let rule =
            |secret: &str| TokenRule { name: "t".to_owned(), secret: Template::literal(secret), access: Access::Read };
        for tokens in [vec![rule("short")], vec![rule(GOOD), rule(GOOD)]] {
            let rules = Rules { path: String::new(), hosts: Vec::new(), tokens };
            Guard::new(&rules, &Settings::new()).expect_err("it is refused");
        }
    }
}
