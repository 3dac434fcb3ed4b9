//! Which trace a request belongs to, as callers say and as upstreams are told: W3C Trace Context and B3.

use crate::http::{Headers, list};
use serde::{Deserialize, Serialize};

/// A place in a trace (W3C Trace Context §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// Identifies the trace; never 0.
    pub trace: u128,
    /// Identifies the span; never 0.
    pub span: u64,
    /// Whether spans are recorded. `None`: whoever comes next decides, which only B3 can say.
    pub sampled: Option<bool>,
    /// Whether whoever began it wants all of it, as B3 says with its debug flag. Then it is `sampled` as well.
    pub debug: bool,
    /// What other systems have to say (`tracestate`), as received.
    pub state: Option<String>,
}

/// What a caller has decided of a trace that somebody else is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether spans are recorded.
    pub sampled: bool,
    /// Whether all of it is wanted.
    pub debug: bool,
}

/// In which forms upstreams are told, and callers believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    /// `traceparent` and `tracestate`.
    #[serde(rename = "w", default)]
    pub w3c: bool,
    /// `b3`.
    #[serde(rename = "b", default)]
    pub b3_single: bool,
    /// `X-B3-TraceId` and the others.
    #[serde(rename = "m", default)]
    pub b3_multi: bool,
}

/// The fields of the multiple form of B3.
const X_B3: [&str; 5] = ["x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"];

impl Formats {
    /// What a request says of its trace. Of two forms W3C's counts.
    pub fn read(self, headers: &Headers) -> Option<Context> {
        let w3c = if self.w3c { w3c(headers) } else { None };
        let single = || if self.b3_single { b3_single(headers.text("b3")?) } else { None };
        let multi = || if self.b3_multi { b3_multi(headers) } else { None };
        w3c.or_else(single).or_else(multi)
    }

    /// What a request that names no trace says of the one that begins with it. Only B3 can: `b3: 0`, or `X-B3-Sampled` and
    /// `X-B3-Flags` without identifiers.
    pub fn decision(self, headers: &Headers) -> Option<Decision> {
        let single = || match headers.text("b3").filter(|_| self.b3_single)? {
            "d" => Some(DEBUG),
            "1" => Some(Decision { sampled: true, debug: false }),
            "0" => Some(Decision { sampled: false, debug: false }),
            _ => None,
        };
        let is_alone = self.b3_multi && !headers.contains("x-b3-traceid") && !headers.contains("x-b3-spanid");
        single().or_else(|| b3_flags(headers).filter(|_| is_alone))
    }

    /// Takes away what a request says of its trace: the gateway says it anew.
    pub fn remove(self, headers: &mut Headers) {
        if self.w3c {
            headers.remove_alike("traceparent");
            headers.remove_alike("tracestate");
        }
        if self.b3_single {
            headers.remove_alike("b3");
        }
        if self.b3_multi {
            X_B3.iter().for_each(|name| headers.remove_alike(name));
        }
    }
}

impl Context {
    /// Tells an upstream that it is called within this span.
    pub fn write(&self, span: u64, formats: Formats, headers: &mut Headers) {
        let (trace, sampled) = (self.trace, self.sampled.unwrap_or(false));
        if formats.w3c {
            headers.set("traceparent", format!("00-{trace:032x}-{span:016x}-{:02x}", u8::from(sampled)));
            if let Some(state) = &self.state {
                headers.set("tracestate", state);
            }
        }
        let flag = if sampled { "1" } else { "0" };
        if formats.b3_single {
            let flag = if self.debug { "d" } else { flag };
            headers.set("b3", format!("{trace:032x}-{span:016x}-{flag}-{:016x}", self.span));
        }
        if formats.b3_multi {
            headers.set("x-b3-traceid", format!("{trace:032x}"));
            headers.set("x-b3-spanid", format!("{span:016x}"));
            headers.set("x-b3-parentspanid", format!("{:016x}", self.span));
            // Debug implies that it is sampled, which then is not said again.
            if self.debug {
                headers.set("x-b3-flags", "1");
            } else {
                headers.set("x-b3-sampled", flag);
            }
        }
    }
}

/// `traceparent` (§3.2) and `tracestate` (§3.3). A malformed one counts as none (§4.3).
fn w3c(headers: &Headers) -> Option<Context> {
    let mut lines = headers.all("traceparent");
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let line = std::str::from_utf8(line).ok()?;
    let mut parts = line.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    // Later versions may say more; what this one says stays.
    let version = hex(version, 2).filter(|version| *version != 0xff)?;
    if version == 0 && parts.next().is_some() {
        return None;
    }
    let trace = hex(trace, 32).filter(|trace| *trace != 0)?;
    let span = u64::try_from(hex(span, 16)?).ok().filter(|span| *span != 0)?;
    let flags = hex(flags, 2)?;
    let members: Vec<&str> = list(headers, "tracestate").collect();
    let state = members.join(",");
    // §3.3.1.5: who hands on more than it must hold may drop all of it.
    let state = (!state.is_empty() && state.len() <= 512 && members.len() <= 32).then_some(state);
    Some(Context { trace, span, sampled: Some(flags & 1 == 1), debug: false, state })
}

/// `{trace}-{span}[-{sampled}[-{parent}]]`. A sampling decision alone names no trace: see [`Formats::decision`].
fn b3_single(text: &str) -> Option<Context> {
    let mut parts = text.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let (sampled, debug) = match parts.next() {
        None => (None, false),
        Some("d") => (Some(true), true),
        Some("1") => (Some(true), false),
        Some("0") => (Some(false), false),
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        hex(parent, 16)?;
    }
    if parts.next().is_some() {
        return None;
    }
    Some(Context { trace: b3_trace(trace)?, span: b3_span(span)?, sampled, debug, state: None })
}

fn b3_multi(headers: &Headers) -> Option<Context> {
    let (trace, span) = (headers.text("x-b3-traceid")?, headers.text("x-b3-spanid")?);
    let decided = b3_flags(headers);
    let (sampled, debug) = (decided.map(|decided| decided.sampled), decided.is_some_and(|decided| decided.debug));
    Some(Context { trace: b3_trace(trace)?, span: b3_span(span)?, sampled, debug, state: None })
}

const DEBUG: Decision = Decision { sampled: true, debug: true };

/// What the fields of the multiple form decide.
fn b3_flags(headers: &Headers) -> Option<Decision> {
    match (headers.text("x-b3-flags"), headers.text("x-b3-sampled")) {
        (Some("1"), _) => Some(DEBUG),
        (_, Some("1" | "true")) => Some(Decision { sampled: true, debug: false }),
        (_, Some("0" | "false")) => Some(Decision { sampled: false, debug: false }),
        _ => None,
    }
}

/// 128 bits, or 64 as older systems write them.
fn b3_trace(text: &str) -> Option<u128> {
    hex(text, 32).or_else(|| hex(text, 16)).filter(|trace| *trace != 0)
}

fn b3_span(text: &str) -> Option<u64> {
    u64::try_from(hex(text, 16)?).ok().filter(|span| *span != 0)
}

/// So many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if fits { u128::from_str_radix(text, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Formats = Formats { w3c: true, b3_single: true, b3_multi: true };

    fn read(block: &str) -> Option<Context> {
        ALL.read(&Headers::from_block(block.as_bytes().to_vec()))
    }

    #[test]
    fn every_form_is_read() {
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        let context = |sampled, state: Option<&str>| {
            Some(Context { trace, span: 0xb7ad_6b71_6920_3331, sampled, debug: false, state: state.map(str::to_owned) })
        };
        let (t, s) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (block, expected) in [
            (format!("traceparent\x0000-{t}-{s}-01\n"), context(Some(true), None)),
            (
                format!("traceparent\x0000-{t}-{s}-00\ntracestate\0a=1\ntracestate\0b=2\n"),
                context(Some(false), Some("a=1,b=2")),
            ),
            (format!("traceparent\0cc-{t}-{s}-03-what-comes-later\n"), context(Some(true), None)),
            (format!("b3\0{t}-{s}-1-05e3ac9a4f6e3b90\n"), context(Some(true), None)),
            (format!("b3\0{t}-{s}\n"), context(None, None)),
            (format!("x-b3-traceid\0{t}\nx-b3-spanid\0{s}\nx-b3-sampled\x000\n"), context(Some(false), None)),
            (format!("x-b3-traceid\0{t}\nx-b3-spanid\0{s}\nx-b3-sampled\01\n"), context(Some(true), None)),
        ] {
            assert_eq!(read(&block), expected, "{block}");
        }
        for block in [format!("b3\0{t}-{s}-d\n"), format!("x-b3-traceid\0{t}\nx-b3-spanid\0{s}\nx-b3-flags\x001\n")] {
            assert_eq!(read(&block), context(Some(true), None).map(|context| Context { debug: true, ..context }));
        }
        let short = read("b3\08448eb211c80319c-b7ad6b7169203331-d\n").map(|context| context.trace);
        assert_eq!(short, Some(0x8448_eb21_1c80_319c));
    }

    #[test]
    fn b3_decides_without_naming_a_trace() {
        let decision = |block: &str| ALL.decision(&Headers::from_block(block.as_bytes().to_vec()));
        let plain = |sampled| Some(Decision { sampled, debug: false });
        for (block, expected) in [
            ("b3\x000\n", plain(false)),
            ("b3\x001\n", plain(true)),
            ("b3\0d\n", Some(DEBUG)),
            ("x-b3-sampled\x000\n", plain(false)),
            ("x-b3-sampled\0true\n", plain(true)),
            ("x-b3-flags\x001\n", Some(DEBUG)),
            ("b3\x002\n", None),
            // What names a trace badly is malformed, all of it.
            ("x-b3-traceid\0x\nx-b3-sampled\x000\n", None),
            ("traceparent\x000\n", None),
        ] {
            assert_eq!(decision(block), expected, "{block}");
            assert_eq!(read(block), None, "{block}");
        }
        let none = Formats { w3c: true, b3_single: false, b3_multi: false };
        assert_eq!(none.decision(&Headers::from_block(b"b3\x000\nx-b3-sampled\x000\n".to_vec())), None);
    }

    #[test]
    fn what_is_malformed_is_nobodys_trace() {
        let (t, s) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for block in [
            format!("traceparent\x0000-{t}-{s}\n"),
            format!("traceparent\x0000-{t}-{s}-01-more\n"),
            format!("traceparent\0ff-{t}-{s}-01\n"),
            format!("traceparent\x0000-{}-{s}-01\n", t.to_uppercase()),
            format!("traceparent\x0000-{}-{s}-01\n", "0".repeat(32)),
            format!("traceparent\x0000-{t}-{}-01\n", "0".repeat(16)),
            format!("traceparent\x0000-{t}-{s}-01\ntraceparent\x0000-{t}-{s}-01\n"),
            format!("b3\0{t}-{s}-2\n"),
            format!("b3\0{t}-{s}-1-x\n"),
            format!("x-b3-traceid\0{t}\n"),
        ] {
            assert_eq!(read(&block), None, "{block}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let plain = Context { trace: 7, span: 8, sampled: Some(true), debug: false, state: Some("a=1".to_owned()) };
        for (formats, debug) in [
            (Formats { b3_single: false, b3_multi: false, ..ALL }, false),
            (Formats { w3c: false, b3_multi: false, ..ALL }, false),
            (Formats { w3c: false, b3_multi: false, ..ALL }, true),
            (Formats { w3c: false, b3_single: false, ..ALL }, false),
            (Formats { w3c: false, b3_single: false, ..ALL }, true),
        ] {
            let context = Context { debug, ..plain.clone() };
            let mut headers = Headers::new();
            context.write(9, formats, &mut headers);
            let state = context.state.clone().filter(|_| formats.w3c);
            assert_eq!(formats.read(&headers), Some(Context { span: 9, state, ..context.clone() }));
            formats.remove(&mut headers);
            assert_eq!(ALL.read(&headers), None);
        }
    }
}
