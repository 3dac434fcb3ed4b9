//! Tells the client in `Proxy-Status` (RFC 9209) what became of its request.

use super::retry::Ended;
use super::send::{Attempt, Cause};
use crate::platform::FetchError;

/// The field's value: who we are, where the answer is from, and what went wrong.
pub fn proxy_status(gateway: &str, next_hop: Option<&str>, cause: Option<&Cause>, history: &[Attempt]) -> String {
    // RFC 9209 §2: a token or a string. A token begins with a letter (RFC 8941 §3.3.4).
    let mut out =
        if gateway.starts_with(|c: char| c.is_ascii_alphabetic()) { gateway.to_owned() } else { quoted(gateway) };
    if let Some(error) = cause.and_then(error) {
        out.push_str("; error=");
        out.push_str(error);
    }
    let last = history.last().map(|attempt| attempt.target.as_str());
    if let Some(name) = next_hop.or(last) {
        out.push_str("; next-hop=");
        out.push_str(&quoted(name));
    }
    let received = history.iter().rev().find_map(|attempt| match attempt.ended {
        Ended::Answered { status, .. } => Some(status),
        Ended::Failed(_) => None,
    });
    if let Some(status) = received.filter(|_| cause.is_some()) {
        out.push_str(&format!("; received-status={status}"));
    }
    out
}

/// RFC 9209 §2.3. What the client or the configuration is to blame for has no name there that says more than the status.
fn error(cause: &Cause) -> Option<&'static str> {
    match cause {
        Cause::Open { .. } | Cause::Drained => Some("destination_unavailable"),
        Cause::Failure(failure) => match failure.error {
            FetchError::Unreachable => Some("destination_unavailable"),
            FetchError::Reset => Some("connection_terminated"),
            FetchError::Timeout => Some("http_response_timeout"),
            FetchError::Forbidden => Some("proxy_configuration_error"),
            FetchError::NoCredential => Some("proxy_internal_error"),
            FetchError::BodyTooLarge | FetchError::BodyRefused | FetchError::BodyStalled | FetchError::ClientGone => {
                None
            }
        },
    }
}

/// A string (RFC 8941 §3.3.3).
fn quoted(text: &str) -> String {
    let plain = text.chars().filter(|c| (' '..='~').contains(c));
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in plain {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Failure;

    #[test]
    fn what_happened_is_told_in_the_words_of_the_standard() {
        let failed = |error| Cause::Failure(Failure { error, detail: "secret".to_owned() });
        let attempt =
            |target: &str, ended| Attempt { target: target.to_owned(), ended, took: 1, detail: "secret".into() };
        let history = [
            attempt("a", Ended::Answered { status: 503, retry_after: None }),
            attempt("b", Ended::Failed(FetchError::Timeout)),
        ];
        for (cause, next_hop, history, expected) in [
            (None, Some("a\"b"), &[][..], r#"postern; next-hop="a\"b""#),
            (None, Some("c"), &history, r#"postern; next-hop="c""#),
            (
                Some(failed(FetchError::Timeout)),
                None,
                &history,
                r#"postern; error=http_response_timeout; next-hop="b"; received-status=503"#,
            ),
            (Some(failed(FetchError::Reset)), None, &[], "postern; error=connection_terminated"),
            (Some(Cause::Open { for_another: 5 }), None, &[], "postern; error=destination_unavailable"),
            (Some(failed(FetchError::ClientGone)), None, &[], "postern"),
        ] {
            assert_eq!(proxy_status("postern", next_hop, cause.as_ref(), history), expected);
        }
        assert_eq!(proxy_status("9p", None, None, &[]), r#""9p""#);
    }
}
