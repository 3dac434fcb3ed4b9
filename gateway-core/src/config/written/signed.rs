//! Signed requests and client certificates, as users write them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{CoveredComponent, DistinguishedName, Duration, Fingerprint, OneOrMany, Realm, Size};

/// Takes requests that a consumer has signed by HTTP message signatures (RFC 9421), with one of its `signers`.
///
/// What is signed is compared with the request as the gateway acts on it: the path in its normal spelling (RFC 3986 §6.2.2:
/// dot segments resolved, `%2f` as `%2F`, `%7E` as `~`), the host in lower case. So what was signed is what was matched and
/// what is sent on; a client that signs another spelling of the path is refused. The query counts as it was sent. Fields
/// that proxies drop (`Connection` and what it names, `TE`, `Expect`) cannot be signed; trailers and `;req` neither. `;sf` needs a
/// field whose type is known here, and on Workers `;bs` a field of one line, since the runtime joins lines.
///
/// A body's `Content-Digest` (RFC 9530) is compared with the body wherever it is signed: SHA-256 and SHA-512 count. The body
/// is read into memory for that, and goes on as it came. A signature with a `nonce` is taken once: everywhere
/// (`replay_scope: global`), or by each instance, which remembers the last 8192 of them for as long as they count. Another instance
/// does not know of those, and one that is started anew has forgotten: on Workers there is at least one for each data
/// centre; on Spin several at once, each for a second of rest or some hundred requests. Everywhere is exact on Workers; Spin's
/// store cannot look and write in one step, so there two copies that arrive at the same moment may both be taken.
///
/// The key decides on the algorithm, never the request: a secret is for `hmac-sha256`, and a public key for what its kind says
/// or `algorithm` of the signer. Who is refused finds in `Accept-Signature` what would be taken. `postern sign` signs a
/// request for trying it out.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: alice
///     signers: [{ id: alice, secret: "${test:only for the documentation}" }]
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - authenticate: { any_of: [{ signature: { components: ["@method", "@target-uri", content-digest], max_age: 1m } }] }
/// ```
///
/// ```text
/// GET /orders  signature-input: sig1=("@method" "@target-uri");created=1750000000;keyid="alice"  signature: sig1=:+vziQAhAWsZAsEufE+v5g9rxjhxYum9JQgZuSoirGj8=:  → 200
/// GET /orders?all  signature-input: sig1=("@method" "@target-uri");created=1750000000;keyid="alice"  signature: sig1=:+vziQAhAWsZAsEufE+v5g9rxjhxYum9JQgZuSoirGj8=:  → 401
/// GET /orders  → 401  accept-signature: sig1=("@method" "@target-uri" "content-digest");created;keyid
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SignatureMethod {
    /// What must be signed; more may be. `content-digest` is needed only where there is a body. `@target-uri` is met by
    /// `@authority` with `@path` and `@query` or with `@request-target` as well. Default: `@method`, `@target-uri` and
    /// `content-digest`.
    #[schemars(extend("examples" = [["@method", "@target-uri", "content-digest", "x-tenant"]]))]
    pub components: Option<OneOrMany<CoveredComponent>>,
    /// The algorithms that are taken. Default: that of each key.
    pub algorithms: Option<OneOrMany<SignatureAlgorithm>>,
    /// How old a signature may be. It must say when it was made (`created`), and an earlier `expires` counts. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub max_age: Option<Duration>,
    /// How far the clocks of clients may differ. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub leeway: Option<Duration>,
    /// Whether a signature needs a nonce. One that is there is taken once in any case. Default: `optional`.
    #[schemars(extend("default" = "optional"))]
    pub nonce: Option<Nonce>,
    /// Where used nonces are remembered. Default: `global` where a nonce is required, else `instance`.
    pub replay_scope: Option<ReplayScope>,
    /// The label of the signature that counts. Default: any; up to four are looked at, and one that is right is enough.
    #[schemars(extend("examples" = ["sig1"]))]
    pub label: Option<Label>,
    /// The `tag` that a signature must have; those with another one are not looked at. Default: it may have any, or none.
    #[schemars(extend("examples" = ["orders-api"]))]
    pub tag: Option<Realm>,
    /// How many bytes of a body are read to check its digest; a longer one is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub body_limit: Option<Size>,
    /// What signatures are for, as the challenge tells. Default: `restricted`.
    #[schemars(extend("default" = "restricted"))]
    pub realm: Option<Realm>,
    /// Whether the upstream gets to see `Signature` and `Signature-Input`. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// Whether a nonce must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nonce {
    /// One that is there is taken once.
    Optional,
    /// It must be there, and is taken once.
    Required,
}

/// Where it is remembered what may be used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayScope {
    /// In the memory of each instance: it costs nothing, and another instance takes it once more.
    Instance,
    /// Where all instances look, as for limits with `scope: global`: each signature that is right costs a call there. While nobody
    /// answers there, requests are refused with 503.
    Global,
}

/// The label of a signature: small letters, digits, `_`, `-`, `.` and `*`, a letter or `*` first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^[a-z*][a-z0-9_.*-]*$"))]
pub struct Label(pub String);

/// How a request is signed (RFC 9421 §6.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256, by a `secret`.
    HmacSha256,
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// RSA PSS with SHA-512: what an RSA key is for where nothing else is said.
    RsaPssSha512,
    /// RSA PKCS #1 v1.5 with SHA-256.
    #[serde(rename = "rsa-v1_5-sha256")]
    RsaV15Sha256,
}

/// Takes requests that are signed by the older `hmac` scheme, as clients of Kong (`hmac-auth`) and of APISIX (`hmac-auth`, from
/// 3.11 on) send it, with the `secret` of one of a consumer's `signers`.
///
/// ```text
/// Authorization: hmac username="alice", algorithm="hmac-sha256", headers="date request-line", signature="…"
/// Authorization: Signature keyId="alice",algorithm="hmac-sha256",headers="@request-target date",signature="…"
/// ```
///
/// Kong's clients sign lines `name: value` in the order of `headers`, with nothing at the end; `request-line` is
/// `GET /path?query HTTP/1.1`, and `@request-target` (or `(request-target)`) the line `@request-target: get /path?query`.
/// APISIX's sign the key's identifier, then such lines (`GET /path?query` for `@request-target`), each with a line feed.
///
/// Clients stay as they are, save for what would leave a hole:
///
/// - The date that counts (`X-Date`, or else `Date`) must be signed itself, and so must the request line unless
///   `enforce_headers` says otherwise. Kong takes a signed request with a fresh date beside it.
/// - The path is signed in its normal spelling, as for `signature`.
/// - Of a repeated field all lines are signed, with `, ` between them; Kong signs the first and hands on all. A field that is
///   signed must be there.
/// - A signed `Digest` is always compared with the body, and `validate_request_body` asks for a signed one.
/// - `Proxy-Authorization` is for the next proxy (RFC 9110 §11.7.2) and is not looked at. `hmac-sha1` must be asked for.
/// - The version in `request-line` is what the client spoke, which not every platform tells: `HTTP/1.1`, `HTTP/2.0` and the
///   others are all taken.
/// - A secret has at least 16 bytes: one signed request is enough to try shorter ones at leisure.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: alice
///     signers: [{ id: alice, secret: "${test:only for the documentation}" }]
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - authenticate: { any_of: [{ hmac_auth: { clock_skew: 1m } }] }
/// ```
///
/// ```text
/// GET /orders  date: Sun, 15 Jun 2025 15:06:40 GMT  authorization: hmac username="alice", algorithm="hmac-sha256", headers="date request-line", signature="Nf2N2Wfen5Xeh5GenWsZLX95MouxEoNTBBByC2CCcJo="  → 200
/// GET /orders?all  date: Sun, 15 Jun 2025 15:06:40 GMT  authorization: hmac username="alice", algorithm="hmac-sha256", headers="date request-line", signature="Nf2N2Wfen5Xeh5GenWsZLX95MouxEoNTBBByC2CCcJo="  → 401
/// GET /orders  → 401  www-authenticate: hmac realm="restricted"
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacAuthMethod {
    /// The hashes that are taken. Default: all but `hmac-sha1`.
    #[schemars(extend("default" = ["hmac-sha256", "hmac-sha384", "hmac-sha512"]))]
    pub algorithms: Option<OneOrMany<HmacAlgorithm>>,
    /// How far the signed date may be from now. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub clock_skew: Option<Duration>,
    /// What must be signed, besides the date. `request-line` and `@request-target` stand for each other. Default:
    /// `request-line`.
    #[schemars(extend("default" = "request-line"))]
    pub enforce_headers: Option<OneOrMany<SignedHeader>>,
    /// Whether a body needs a signed `Digest: SHA-256=…`. Default: `false`.
    #[schemars(extend("default" = false))]
    pub validate_request_body: Option<bool>,
    /// How many bytes of a body are read to check its digest; a longer one is refused with 413. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub body_limit: Option<Size>,
    /// Whether every signature is taken once. Two equal requests in one second have the same signature, so the second one
    /// is refused. Default: `false`.
    #[schemars(extend("default" = false))]
    pub single_use: Option<bool>,
    /// Where signatures that have been taken are remembered, with `single_use`. Default: `global`.
    #[schemars(extend("default" = "global"))]
    pub replay_scope: Option<ReplayScope>,
    /// What signatures are for, as the challenge tells. Default: `restricted`.
    #[schemars(extend("default" = "restricted"))]
    pub realm: Option<Realm>,
    /// Whether the upstream gets to see the credential. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// A field that must be signed: its name, or `request-line`, `@request-target` or `(request-target)`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("pattern" = "^(@request-target|\\(request-target\\)|[A-Za-z0-9!#$%&'*+.^_`|~-]+)$", "examples" = ["request-line", "host"]))]
pub struct SignedHeader(pub String);

/// A hash that HMAC is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HmacAlgorithm {
    /// SHA-1, for clients that know no other.
    HmacSha1,
    /// SHA-256.
    HmacSha256,
    /// SHA-384.
    HmacSha384,
    /// SHA-512.
    HmacSha512,
}

/// Takes the certificate that the client has shown when it connected: one that the platform has verified, or that a trusted
/// proxy passes on (`client.certificate_from`).
///
/// Without rules, the certificate must belong to a consumer (`certificates`). With rules, whatever meets them all passes, and
/// where it belongs to a consumer, that is who calls.
///
/// `{client.certificate.subject}`, `{client.certificate.issuer}`, `{client.certificate.fingerprint}` and
/// `{client.certificate.serial}` tell the upstream in fields of your own. `Client-Cert` and `Client-Cert-Chain` (RFC 9440) that a
/// client sends go no further.
///
/// Workers report what Cloudflare's mTLS has verified, without the certificate's bytes; revoked ones do not count. Spin reports
/// none, so there a proxy that ends TLS must pass it on.
///
/// ```yaml
/// client: { trusted_proxies: 10.0.0.0/8, certificate_from: client_cert }
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: orders
///     certificates: [{ subject: "CN=orders,O=Acme", issuer: "CN=Acme Clients,O=Acme" }]
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - authenticate: { any_of: [{ client_certificate: { issuers: "O=Acme", subjects: ["OU=orders", "OU=billing"] } }] }
///       - headers: { request: { set: { x-client-subject: "{client.certificate.subject}" } } }
/// ```
///
/// ```text
/// GET /orders  → 401  www-authenticate: ClientCertificate
/// GET /orders  client-cert: :AAAA:  → 401
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCertificateMethod {
    /// Names of subjects of which one must be met: each of its parts is a part of the certificate's subject.
    pub subjects: Option<OneOrMany<DistinguishedName>>,
    /// Names of issuers of which one must be met, in the same way.
    pub issuers: Option<OneOrMany<DistinguishedName>>,
    /// Fingerprints of which one must be the certificate's.
    pub fingerprints: Option<OneOrMany<Fingerprint>>,
    /// Whether the upstream gets the certificate in `Client-Cert` (RFC 9440), where its bytes are known. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// A certificate of a consumer: by its `fingerprint`, or every certificate that an `issuer` makes for a `subject`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsumerCertificate {
    /// The certificate's SHA-256. Excludes the others.
    pub fingerprint: Option<Fingerprint>,
    /// The subject's whole name. Needs `issuer`: another authority could make a certificate for the same name.
    pub subject: Option<DistinguishedName>,
    /// The issuer's whole name.
    pub issuer: Option<DistinguishedName>,
}

/// Where clients' certificates come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateFrom {
    /// From the platform, which ends the client's TLS.
    Platform,
    /// From the field `Client-Cert` (RFC 9440) of one of `trusted_proxies`.
    ClientCert,
}
