//! Says what a cache did, in `Cache-Status` (RFC 9211).

use std::fmt::Write;

/// What happened to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was answered from the store; for so many seconds more it is fresh.
    Hit {
        /// Below zero where it is stale.
        ttl: i64,
        /// What of stale responses is worth knowing.
        detail: Option<&'static str>,
    },
    /// It went on.
    Forwarded {
        /// Why (§2.2).
        why: Forward,
        /// What came back, where it is not what the client gets.
        status: Option<u16>,
        /// Whether that is stored.
        stored: bool,
        /// Whether it had waited for the answer to another request.
        collapsed: bool,
        /// Why it is not stored.
        detail: Option<&'static str>,
    },
}

/// Why a request went on (§2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache is not to be used for it.
    Bypass,
    /// Its method is not for caches.
    Method,
    /// Nothing is stored for its key.
    UriMiss,
    /// What is stored was for other fields.
    VaryMiss,
    /// The client wanted it.
    Request,
    /// What is stored is stale.
    Stale,
}

impl Forward {
    fn as_str(self) -> &'static str {
        match self {
            Forward::Bypass => "bypass",
            Forward::Method => "method",
            Forward::UriMiss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Request => "request",
            Forward::Stale => "stale",
        }
    }
}

impl Told {
    /// The member of the list, for the cache of this name.
    pub fn write(&self, name: &str) -> String {
        let mut text = name.to_owned();
        // A String takes whatever is written.
        let _ = match self {
            Told::Hit { ttl, detail: None } => write!(text, "; hit; ttl={ttl}"),
            Told::Hit { ttl, detail: Some(detail) } => write!(text, "; hit; ttl={ttl}; detail={detail}"),
            Told::Forwarded { why, status, stored, collapsed, detail } => {
                text.push_str("; fwd=");
                text.push_str(why.as_str());
                if let Some(status) = status {
                    let _ = write!(text, "; fwd-status={status}");
                }
                for (said, word) in [(*stored, "; stored"), (*collapsed, "; collapsed")] {
                    if said {
                        text.push_str(word);
                    }
                }
                detail.map_or(Ok(()), |detail| write!(text, "; detail={detail}"))
            }
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_of_the_form_that_others_read() {
        let hit = Told::Hit { ttl: -3, detail: Some("error") };
        let forwarded =
            Told::Forwarded { why: Forward::Stale, status: Some(304), stored: true, collapsed: true, detail: None };
        for (told, text) in [
            (hit, "postern; hit; ttl=-3; detail=error"),
            (forwarded, "postern; fwd=stale; fwd-status=304; stored; collapsed"),
        ] {
            assert_eq!(told.write("postern"), text);
            sfv::Parser::new(text.as_bytes()).parse::<sfv::List>().expect("a list (RFC 9651)");
        }
    }
}
