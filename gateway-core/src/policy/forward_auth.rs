//! Asks another service whether a request may pass, and tells the upstream what it says.

use super::authenticate::contradicts;
use super::{Flow, Remark, Visit};
use crate::caller::Caller;
use crate::consumer::By;
use crate::error::Error;
use crate::http::{Body, Headers, Response, list};
use crate::jwt::remembered::Fingerprint;
use crate::platform::{Call, Interest, Patience, Platform};
use crate::pump;
use crate::request::strip_hop_by_hop;
use crate::template::Template;
use crate::upstream::{self, HostHeader, Timeouts};
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::time::Duration;

/// A service that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardAuth {
    /// The place of its upstream.
    pub upstream: u32,
    /// What is put behind the target's own path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Template>,
    /// The method of the question.
    pub method: String,
    /// Fields of the request that it gets to see.
    pub shown: Vec<String>,
    /// How many bytes of a body it gets to see; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<u64>,
    /// Fields of the answer that become fields of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<String>,
    /// Fields of the answer that become fields of the response.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<String>,
    /// Fields of a refusal that the client gets.
    pub refusal: Vec<String>,
    /// How long it may take, in milliseconds.
    pub timeout: u64,
    /// Whether requests pass while it fails.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// For how long an answer counts, and for which requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// The field with the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The field with the consumer's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Tells these settings from others, so that what one service said does not count for another.
    pub context: u32,
}

/// For how long an answer counts, and for which requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    /// What the answer depends on, besides the fields that the service gets to see.
    pub key: Template,
    /// For how long, at the most, in milliseconds.
    pub time: u64,
}

/// Whether requests pass while the service fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// None does.
    #[default]
    Refuse,
    /// All do.
    Allow,
}

/// What an answer says that lets pass: the fields that anybody wants to know of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pass {
    fields: Vec<(String, Vec<u8>)>,
}

impl ForwardAuth {
    /// What a client gets with a refusal unless it is said otherwise.
    pub const REFUSAL: [&'static str; 6] =
        ["location", "set-cookie", "www-authenticate", "cache-control", "vary", "retry-after"];

    /// Asks, unless the answer is known.
    pub async fn on_request<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Flow<P::Stream>, Error> {
        let key = self.key(visit);
        let known = key.and_then(|key| visit.tokens.passes.borrow_mut().get(&key, visit.platform.now()));
        let pass = match known {
            Some(pass) => pass,
            None => match self.ask(visit).await? {
                Answer::Pass(pass, until) => {
                    let pass = Rc::new(pass);
                    if let (Some(key), Some(until)) = (key, until) {
                        let weight = pass.fields.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                        visit.tokens.passes.borrow_mut().insert(key, Rc::clone(&pass), until, weight + 200);
                    }
                    pass
                }
                Answer::Refusal(response) => return Ok(Flow::Respond(response)),
                Answer::Failure(reason) => match self.on_failure {
                    OnFailure::Refuse => return Err(Error::CredentialUncertain { reason }),
                    OnFailure::Allow => {
                        visit.caller.vouched = true;
                        visit.memo.remarks.push(Remark { problem: "credential-uncertain", detail: reason });
                        self.taken.iter().for_each(|name| visit.headers.remove_alike(name));
                        return Ok(Flow::Continue);
                    }
                },
            },
        };
        visit.caller.vouched = true;
        self.name_caller(visit, &pass)?;
        for name in &self.taken {
            visit.headers.remove_alike(name);
            pass.all(name).for_each(|value| visit.headers.append(name, value));
        }
        for name in &self.given {
            visit.memo.fields.extend(pass.all(name).map(|value| (name.clone(), value.to_vec())));
        }
        Ok(Flow::Continue)
    }

    /// What an answer is remembered by: never without what the service was shown.
    fn key<P: Platform>(&self, visit: &Visit<'_, P>) -> Option<Fingerprint> {
        let cache = self.cache.as_ref()?;
        let mut text = String::new();
        let mut add = |part: &str| {
            text.push_str(&format!("{}:{part}", part.len()));
        };
        add(&cache.key.render(&visit.scope()));
        for name in &self.shown {
            add(name);
            // Two different values of bytes that are no text would look the same; Base64 keeps them apart.
            visit.headers.all(name).for_each(|value| add(&crate::jwt::token::encode(value)));
        }
        Some(Fingerprint::new(&text).within(self.context))
    }

    async fn ask<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Answer<P::Stream>, Error> {
        let body = self.shown_body(visit).await?;
        let Some(pool) = visit.upstreams.get(self.upstream as usize) else {
            let reason = format!("the policy names upstream {}, which does not exist", self.upstream);
            return Err(Error::Internal { reason });
        };
        let path = match &self.path {
            None => String::new(),
            Some(path) => path.path(&visit.scope()).map_err(Error::BadTarget)?,
        };
        let bare = path.is_empty() && pool.targets().iter().any(|target| target.base.is_empty());
        let mut headers = Headers::new();
        for name in &self.shown {
            visit.headers.all(name).for_each(|value| headers.append(name, value));
        }
        let line = visit.line;
        headers.set("x-forwarded-method", &line.method);
        headers.set("x-forwarded-proto", visit.client.scheme.as_str());
        headers.set("x-forwarded-host", &line.authority);
        let uri = line.query.as_ref().map_or_else(|| line.path.clone(), |query| format!("{}?{query}", line.path));
        headers.set("x-forwarded-uri", uri);
        if let Some(address) = visit.client.address {
            headers.set("x-forwarded-for", address.to_string());
        }
        if let Body::Bytes(bytes) = &body {
            for name in ["content-type", "content-encoding"] {
                if !headers.contains(name) {
                    visit.headers.all(name).for_each(|value| headers.append(name, value));
                }
            }
            headers.set("content-length", bytes.len().to_string());
        }
        let host = match &pool.upstream.host {
            HostHeader::Target => None,
            HostHeader::Keep => Some(line.authority.as_str()),
            HostHeader::Fixed(host) => Some(host.as_str()),
        };
        let call = Call {
            method: self.method.clone(),
            scheme: line.scheme,
            authority: String::new(),
            binding: None,
            target: if bare { "/".to_owned() } else { path },
            host: None,
            headers,
            body,
            body_limit: None,
            timeout: Duration::ZERO,
            patience: Patience::default(),
            interest: Interest::Everything,
            watched: false,
            last: false,
            upgrade: None,
        };
        let timeouts = Timeouts { attempt: self.timeout, total: self.timeout, ..Timeouts::default() };
        let platform = visit.platform;
        let asked = pool.asked(&visit.scope(), visit.headers, || platform.random()).by(&self.method);
        let mut response = match upstream::send(platform, pool, timeouts, call, host, &asked).await {
            Ok(answer) => answer.response,
            Err(failed) => {
                return Ok(Answer::Failure(format!("forward_auth `{}`: {}", pool.upstream.name, failed.cause)));
            }
        };
        match response.status {
            200..=299 => {
                let until = self.counts_until(&response.headers, visit.platform.now());
                // Nobody reads it, and an unread body keeps the connection.
                pump::discard(platform, response.body);
                Ok(Answer::Pass(self.pass(&response.headers), until))
            }
            300..=499 => {
                strip_hop_by_hop(&mut response.headers);
                self.keep_declared(&mut response.headers);
                Ok(Answer::Refusal(response))
            }
            status => {
                pump::discard(platform, response.body);
                Ok(Answer::Failure(format!("forward_auth `{}`: the status {status}", pool.upstream.name)))
            }
        }
    }

    /// The body as the service gets to see it. It goes on to the upstream as well.
    async fn shown_body<P: Platform>(&self, visit: &mut Visit<'_, P>) -> Result<Body<P::Stream>, Error> {
        let Some(limit) = self.body else { return Ok(Body::Empty) };
        let bytes = visit.read_body(limit).await?;
        Ok(bytes.into())
    }

    /// What of an answer is worth remembering.
    fn pass(&self, headers: &Headers) -> Pass {
        let wanted = |name: &str| {
            let named = self.taken.iter().chain(&self.given).chain(&self.subject).chain(&self.consumer);
            named.into_iter().any(|wanted| wanted == name)
        };
        let fields = headers.iter().filter(|(name, _)| wanted(name));
        Pass { fields: fields.map(|(name, value)| (name.to_owned(), value.to_vec())).collect() }
    }

    /// Until when an answer counts for other requests (RFC 9111 §5.2.2). `None`: for no other.
    fn counts_until(&self, headers: &Headers, now: u64) -> Option<u64> {
        let cache = self.cache.as_ref()?;
        // A cookie that one client is given is not another's, and hardly meant to be set twice.
        if self.given.iter().any(|name| name == "set-cookie") && headers.contains("set-cookie") {
            return None;
        }
        let mut time = cache.time;
        for directive in list(headers, "cache-control") {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return None,
                "max-age" => {
                    let seconds: u64 = value.trim().trim_matches('"').parse().unwrap_or(0);
                    time = time.min(seconds.saturating_mul(1000));
                }
                _ => {}
            }
        }
        (time > 0).then(|| now.saturating_add(time))
    }

    /// Leaves of a refusal what is declared, and what says how to read its body.
    fn keep_declared(&self, headers: &mut Headers) {
        const BODY: [&str; 4] = ["content-type", "content-length", "content-encoding", "content-language"];
        let kept = |name: &str| BODY.contains(&name) || self.refusal.iter().any(|kept| kept == name);
        let others: Vec<String> =
            headers.iter().map(|(name, _)| name).filter(|name| !kept(name)).map(str::to_owned).collect();
        others.iter().for_each(|name| headers.remove(name));
    }

    /// Takes over who calls, where the service was asked to say so.
    fn name_caller<P: Platform>(&self, visit: &mut Visit<'_, P>, pass: &Pass) -> Result<(), Error> {
        let (subject, consumer) = (pass.text(self.subject.as_deref()), pass.text(self.consumer.as_deref()));
        if subject.is_none() && consumer.is_none() {
            return Ok(());
        }
        let caller = Caller {
            consumer: consumer.and_then(|name| visit.consumers.find(By::Name(name))),
            subject: subject.map(str::to_owned),
            proofs: vec!["forward_auth"],
            ..Caller::default()
        };
        if contradicts(visit.caller, &caller) {
            // RFC 9110 §15.5.2: a 401 says what would help, and whoever is known already has been asked for nothing.
            let reason = "The credentials belong to different consumers.".to_owned();
            return Err(Error::Forbidden { reason, challenge: None });
        }
        visit.caller.join(caller);
        Ok(())
    }
}

/// What the service says.
enum Answer<S> {
    /// The request passes, and others do until then.
    Pass(Pass, Option<u64>),
    /// The client gets this.
    Refusal(Response<S>),
    /// Nothing that helps, in words for the log.
    Failure(String),
}

impl Pass {
    /// A field's first line, if it says anything.
    fn text<'a>(&'a self, name: Option<&'a str>) -> Option<&'a str> {
        let value = std::str::from_utf8(self.all(name?).next()?).ok()?.trim();
        (!value.is_empty()).then_some(value)
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(time: u64) -> ForwardAuth {
        ForwardAuth {
            upstream: 0,
            path: None,
            method: "GET".into(),
            shown: vec!["authorization".into()],
            body: None,
            taken: vec!["x-user".into()],
            given: vec!["set-cookie".into()],
            refusal: vec!["location".into()],
            timeout: 5_000,
            on_failure: OnFailure::Refuse,
            cache: Some(Cache { key: Template::literal("k"), time }),
            subject: None,
            consumer: None,
            context: 0,
        }
    }

    #[test]
    fn an_answer_counts_no_longer_than_it_says_itself() {
        for (block, expected) in [
            ("", Some(60_000)),
            ("cache-control\0max-age=10\n", Some(10_000)),
            ("cache-control\0private, Max-Age=\"10\"\n", Some(10_000)),
            ("cache-control\0max-age=600\n", Some(60_000)),
            ("cache-control\0max-age=600\ncache-control\0max-age=5\n", Some(5_000)),
            ("cache-control\0max-age=0\n", None),
            ("cache-control\0max-age=soon\n", None),
            ("cache-control\0no-store\n", None),
            ("cache-control\0max-age=10, No-Cache\n", None),
            ("set-cookie\0a=b\n", None),
        ] {
            let headers = Headers::from_block(block.as_bytes().to_vec());
            assert_eq!(policy(60_000).counts_until(&headers, 0), expected, "{block}");
        }
        assert_eq!(ForwardAuth { cache: None, ..policy(0) }.counts_until(&Headers::new(), 0), None);
    }

    #[test]
    fn of_a_refusal_goes_on_what_is_declared() {
        let block = b"content-type\0text/plain\nlocation\0/login\nserver\0secret\nx-internal\x001\n".to_vec();
        let mut headers = Headers::from_block(block);
        policy(0).keep_declared(&mut headers);
        assert_eq!(headers.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["content-type", "location"]);
    }
}
