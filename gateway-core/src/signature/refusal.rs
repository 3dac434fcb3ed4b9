//! Why a signed request is refused: one sentence each, for the client, which helps nobody to guess.

/// Why a signed request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The fields cannot be read, or in two ways.
    Malformed,
    /// There are more signatures, or more in them, than anybody needs.
    TooMany,
    /// Something is covered that is not known, cannot be read in one way, or has no meaning in a request.
    Component,
    /// Something is covered that the request does not have, or has more than once.
    Absent,
    /// Something is not covered that must be.
    Uncovered,
    /// It does not say when it was made, by which key, or has no nonce.
    Incomplete,
    /// It was made too long ago, or has expired.
    Expired,
    /// It was made in the future.
    FromTheFuture,
    /// Its algorithm is not the key's, or not taken here.
    Algorithm,
    /// The key is not known, or the signature is not the key's. Which of the two is nobody's business.
    Signature,
    /// It, or its nonce, has been used.
    Used,
    /// The body's digest is missing, or is of kinds that prove nothing.
    NoDigest,
    /// The body is not the one that was signed.
    Body,
}

impl Refusal {
    /// For the client.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Malformed => "The signature is malformed.",
            Refusal::TooMany => "The request holds too many signatures, or too long ones.",
            Refusal::Component => "The signature covers what cannot be read here.",
            Refusal::Absent => "The signature covers what the request does not have exactly once.",
            Refusal::Uncovered => "The signature does not cover all that it must.",
            Refusal::Incomplete => "The signature lacks a parameter that it must have.",
            Refusal::Expired => "The signature is too old.",
            Refusal::FromTheFuture => "The signature was made in the future.",
            Refusal::Algorithm => "The signature's algorithm is not taken here.",
            Refusal::Signature => "The signature does not fit the request, or its key is not known.",
            Refusal::Used => "The signature has been used before.",
            Refusal::NoDigest => "The body has no digest that is taken here.",
            Refusal::Body => "The body does not fit its digest.",
        }
    }
}
