//! Why a token is refused: one sentence each, for the client, which helps nobody to guess.

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is longer than what is read.
    TooLong,
    /// It is not three parts of canonical Base64url, or its header is no object that can be read in one way only.
    Malformed,
    /// The signature's algorithm is none that any key here is for; `none` is one of those.
    Algorithm,
    /// It brings or points to a key of its own, or asks for an extension that must be understood and is not.
    Header,
    /// Its kind (`typ`) is another one.
    Type,
    /// No key is known under its `kid`, or several could be meant.
    UnknownKey,
    /// The signature does not fit.
    Signature,
    /// What is signed is no object that can be read in one way only.
    Claims,
    /// It was made by another issuer.
    Issuer,
    /// It was made for somebody else.
    Audience,
    /// It does not say when it expires.
    NoExpiry,
    /// It has expired.
    Expired,
    /// It does not count yet.
    NotYet,
    /// It was made in the future.
    FromTheFuture,
    /// It lives longer than what is taken, or does not say since when.
    Lifetime,
    /// A claim is missing that is asked for.
    MissingClaim,
    /// It is bound to a key or certificate that the caller has not shown.
    Unbound,
    /// The proof of possession (RFC 9449) is missing, malformed, for another request, too old, or used before.
    Proof,
}

impl Refusal {
    /// For the client.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::TooLong => "The token is too long.",
            Refusal::Malformed => "The token is malformed.",
            Refusal::Algorithm => "The token's algorithm is not taken here.",
            Refusal::Header => "The token's header holds what is not taken here.",
            Refusal::Type => "The token is of another type.",
            Refusal::UnknownKey => "The token's key is not known.",
            Refusal::Signature => "The token's signature is wrong.",
            Refusal::Claims => "The token's claims are malformed.",
            Refusal::Issuer => "The token's issuer is not trusted here.",
            Refusal::Audience => "The token is for somebody else.",
            Refusal::NoExpiry => "The token does not say when it expires.",
            Refusal::Expired => "The token has expired.",
            Refusal::NotYet => "The token is not valid yet.",
            Refusal::FromTheFuture => "The token was issued in the future.",
            Refusal::Lifetime => "The token lives too long.",
            Refusal::MissingClaim => "The token lacks a claim.",
            Refusal::Unbound => "The token is bound to a key that was not shown.",
            Refusal::Proof => "The DPoP proof is not valid.",
        }
    }
}
