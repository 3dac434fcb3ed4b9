//! What the answers of steps say of being stored, for the answer that is made of them (RFC 9111 §5.2.2).

use crate::http::{Headers, list};

/// What has been heard so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// Whether one of them is not to be stored by anybody.
    no_store: bool,
    /// Whether one of them is for this client only.
    private: bool,
    /// By what they were chosen.
    vary: Vec<String>,
}

/// The fields that say who may store an answer. Those for caches of one kind count for all here: what is made of the answer goes on to
/// others.
const FIELDS: [&str; 4] = ["cache-control", "cdn-cache-control", "surrogate-control", "postern-cache-control"];

/// What a step asks for by itself, whatever the client's field of that name says.
const OWN: [&str; 2] = ["accept", "accept-encoding"];

impl Heard {
    /// Takes down what the answer of a step says. `forwarded` are the fields of the client's that it was sent.
    pub fn hear(&mut self, answer: &Headers, forwarded: &[String]) {
        for member in FIELDS.iter().flat_map(|field| list(answer, field)) {
            let name = member.split(['=', ';']).next().unwrap_or_default().trim();
            self.no_store |= name.eq_ignore_ascii_case("no-store");
            // Whether it is for one client in some of its fields only says nothing of what was taken from them.
            self.private |= name.eq_ignore_ascii_case("private");
        }
        for name in list(answer, "vary").map(str::to_ascii_lowercase) {
            let is_own = OWN.contains(&name.as_str()) && !forwarded.contains(&name);
            if !is_own && !self.vary.contains(&name) {
                self.vary.push(name);
            }
        }
    }

    /// Says it of the answer that is made of them, which depends on `fields` of the client's besides.
    pub fn tell(&self, answer: &mut Headers, fields: &[String]) {
        if self.no_store {
            answer.set("cache-control", "no-store");
        } else if self.private {
            // The stricter of two lines counts.
            answer.append("cache-control", "private");
        }
        let known: Vec<String> = list(answer, "vary").map(str::to_ascii_lowercase).collect();
        for name in fields.iter().chain(self.vary.iter().filter(|name| !fields.contains(name))) {
            if !known.contains(name) {
                answer.append("vary", name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(answers: &[&[(&str, &str)]], own: &[(&str, &str)], fields: &[&str]) -> (Vec<String>, Vec<String>) {
        let fields: Vec<String> = fields.iter().map(|name| (*name).to_owned()).collect();
        let mut heard = Heard::default();
        answers.iter().for_each(|lines| heard.hear(&Headers::of(lines), &fields));
        let mut answer = Headers::of(own);
        heard.tell(&mut answer, &fields);
        let all = |name| list(&answer, name).map(str::to_owned).collect();
        (all("cache-control"), all("vary"))
    }

    #[test]
    fn the_strictest_of_them_counts() {
        for (answers, own, expected) in [
            (&[&[("cache-control", "max-age=60")][..]][..], &[][..], &[][..]),
            (
                &[&[("cache-control", "max-age=60, Private")]],
                &[("cache-control", "max-age=5")],
                &["max-age=5", "private"],
            ),
            (&[&[("cache-control", "private=\"x\"")], &[]], &[], &["private"]),
            (&[&[("cache-control", "private")], &[("cdn-cache-control", "no-store")]], &[], &["no-store"]),
            (&[&[("cache-control", "no-store")]], &[("cache-control", "max-age=5")], &["no-store"]),
            (&[&[("surrogate-control", "no-store;edge")]], &[], &["no-store"]),
        ] {
            assert_eq!(told(answers, own, &[]).0, expected, "{answers:?}");
        }
    }

    #[test]
    fn it_varies_by_what_goes_on_and_by_what_they_vary() {
        let answers: &[&[(&str, &str)]] =
            &[&[("vary", "Accept-Encoding, X-A")], &[("vary", "accept-language, x-a, accept")]];
        assert_eq!(told(answers, &[("vary", "Origin")], &["accept-language"]).1, ["Origin", "accept-language", "x-a"]);
        assert_eq!(told(&[&[("vary", "*")]], &[], &[]).1, ["*"]);
        assert_eq!(told(&[&[("vary", "accept")]], &[], &["accept"]).1, ["accept"]);
    }
}
