//! What is done to requests and responses, as users write it: one type for each policy, in the order of their names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AnswerStatus, CachePolicy, Cidr, ClientCertificateMethod, ConcurrencyPolicy, Country, DeprecationPolicy, Duration,
    ErrorPagesPolicy, Expression, GraphqlPolicy, HeaderName, HmacAuthMethod, IdempotencyPolicy, IntrospectionMethod,
    JsonLimitsPolicy, JsonRpcPolicy, JwtMethod, LinksPolicy, LoginMethod, MaintenancePolicy, MediaRange, Method,
    MirrorPolicy, MockPolicy, Name, Named, OneOrMany, OpenApiPolicy, Origin, QuotaPolicy, RateLimitPolicy, Realm,
    Regex, Scope, SignatureMethod, Size, SpikeArrestPolicy, TargetUrl, Template, Token, TransformPolicy,
    ValidatePolicy,
};

/// Something that is done to requests and responses on their way. Each entry is one policy.
#[allow(clippy::large_enum_variant, reason = "lives only while a configuration is compiled")]
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Proves who is calling.
    Authenticate(AuthenticatePolicy),
    /// Decides what they may do.
    Authorize(AuthorizePolicy),
    /// Answers from the store what has been answered before.
    Cache(Box<CachePolicy>),
    /// Admits so many requests at once.
    Concurrency(ConcurrencyPolicy),
    /// Lets pages of other origins call.
    Cors(CorsPolicy),
    /// Refuses what pages of other origins send on a user's behalf.
    Csrf(CsrfPolicy),
    /// Tells clients that what they use is going away.
    Deprecation(DeprecationPolicy),
    /// Gives refusals and failures bodies of your own.
    ErrorPages(ErrorPagesPolicy),
    /// Asks another service whether a request may pass.
    ForwardAuth(ForwardAuthPolicy),
    /// Refuses GraphQL requests that ask for too much, or for what nobody may have.
    Graphql(GraphqlPolicy),
    /// Changes header fields.
    Headers(HeadersPolicy),
    /// Does once what is asked for several times.
    Idempotency(IdempotencyPolicy),
    /// Refuses JSON bodies that are larger in some way than their readers expect.
    JsonLimits(JsonLimitsPolicy),
    /// Looks into JSON-RPC: messages, methods and batches.
    JsonRpc(JsonRpcPolicy),
    /// Makes what an upstream says of its own address right for clients.
    Links(LinksPolicy),
    /// Answers 503 while there is work on what is behind.
    Maintenance(MaintenancePolicy),
    /// Answers as an OpenAPI document says that an upstream would.
    Mock(MockPolicy),
    /// Copies requests to another upstream, and compares the answers if asked.
    Mirror(MirrorPolicy),
    /// Holds requests, and answers if asked, against an OpenAPI document.
    #[serde(rename = "openapi")]
    OpenApi(OpenApiPolicy),
    /// Admits so much in an hour, a day, a week or a month.
    Quota(QuotaPolicy),
    /// Admits so many requests per time.
    RateLimit(RateLimitPolicy),
    /// Refuses requests by what they say of themselves.
    RequestRules(RequestRulesPolicy),
    /// Tells browsers to be careful.
    SecurityHeaders(SecurityHeadersPolicy),
    /// Spaces requests out.
    SpikeArrest(SpikeArrestPolicy),
    /// Changes method and status, query, cookies and bodies.
    Transform(TransformPolicy),
    /// Refuses requests that are not as their JSON Schemas say.
    Validate(ValidatePolicy),
}

impl Policy {
    /// Whether it may say who is calling.
    pub fn asks_who_calls(&self) -> bool {
        match self {
            Policy::Authenticate(_) => true,
            Policy::ForwardAuth(policy) => policy.caller.is_some(),
            Policy::Authorize(_)
            | Policy::Cache(_)
            | Policy::Concurrency(_)
            | Policy::Cors(_)
            | Policy::Csrf(_)
            | Policy::Deprecation(_)
            | Policy::ErrorPages(_)
            | Policy::Graphql(_)
            | Policy::Headers(_)
            | Policy::Idempotency(_)
            | Policy::JsonLimits(_)
            | Policy::JsonRpc(_)
            | Policy::Links(_)
            | Policy::Maintenance(_)
            | Policy::Mock(_)
            | Policy::Mirror(_)
            | Policy::OpenApi(_)
            | Policy::Quota(_)
            | Policy::RateLimit(_)
            | Policy::RequestRules(_)
            | Policy::SecurityHeaders(_)
            | Policy::SpikeArrest(_)
            | Policy::Transform(_)
            | Policy::Validate(_) => false,
        }
    }
}

/// Proves who is calling, in one of several ways (`any_of`) or in several at once (`all_of`).
///
/// Whatever proves right makes the same known caller, for the policies after it, for `{consumer.name}` and for the log. The
/// credential itself goes no further, unless `keep` says so. Who is not known is refused with 401 and a challenge for
/// each way in.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: alice
///     groups: [partners]
///     keys: [{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }]
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - authenticate: { any_of: [{ api_key: { header: x-api-key } }, { basic: { realm: orders } }] }
///       - headers: { request: { set: { x-consumer: "{consumer.name}" } } }
/// ```
///
/// ```text
/// GET /orders                              → 401
/// GET /orders  x-api-key: pk_docs_onlyForTheDocumentation1  → 200
/// GET /orders  x-api-key: something-else   → 401
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthenticatePolicy {
    /// Ways of which one is needed. `anonymous` among them lets callers pass who bring no credential at all; a wrong one
    /// is refused all the same.
    #[schemars(extend("examples" = [[{"api_key": {"header": "x-api-key"}}, "anonymous"]]))]
    pub any_of: Option<OneOrMany<AuthenticationMethod>>,
    /// Ways that are all needed. They must lead to the same consumer. Excludes `any_of`.
    pub all_of: Option<OneOrMany<AuthenticationMethod>>,
}

/// One way to prove who is calling.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticationMethod {
    /// No credential at all.
    Anonymous,
    /// A key of a consumer.
    ApiKey(ApiKeyMethod),
    /// A user name and a password of a consumer (RFC 7617).
    Basic(BasicMethod),
    /// A certificate that the client has shown when it connected.
    ClientCertificate(ClientCertificateMethod),
    /// A signature by the older `hmac` scheme, as clients of Kong and APISIX send it.
    HmacAuth(HmacAuthMethod),
    /// A token that its authorisation server is asked about (RFC 7662).
    Introspection(IntrospectionMethod),
    /// A JSON Web Token of an issuer (RFC 7519).
    Jwt(JwtMethod),
    /// A session of a user who has logged in with a browser (OpenID Connect).
    Login(Box<LoginMethod>),
    /// A signature by a consumer's key (RFC 9421).
    Signature(SignatureMethod),
}

/// Where an API key may stand. Without any place: the header `x-api-key`.
///
/// A request with two different keys is refused: nobody can say which of them was meant.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyMethod {
    /// Header fields. In `Authorization: Bearer KEY` and `Authorization: ApiKey KEY` the first word is not part of the key.
    #[schemars(extend("examples" = ["x-api-key"]))]
    pub header: Option<OneOrMany<HeaderName>>,
    /// Parameters of the query. Addresses are logged in many places, so this is the last choice.
    #[schemars(extend("examples" = ["api_key"]))]
    pub query: Option<OneOrMany<String>>,
    /// Cookies.
    pub cookie: Option<OneOrMany<Token>>,
    /// Whether the upstream gets to see the key. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// A user name and a password. What they cost to check is bounded, and is spent on unknown names too.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicMethod {
    /// What the password is for, as browsers show it. Default: `restricted`.
    #[schemars(extend("default" = "restricted"))]
    pub realm: Option<Realm>,
    /// Whether the upstream gets to see the credential. Default: `false`.
    #[schemars(extend("default" = false))]
    pub keep: Option<bool>,
}

/// Decides what a caller may do. All rules must be met; who is refused gets 403, or 401 where nobody is known to be calling.
///
/// Rules on who calls need an `authenticate` before them. Several of these policies can stand on one route, each for
/// other methods.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// consumers:
///   - name: alice
///     groups: [partners]
///     keys: [{ hash: fed49bce939f4778f5bddd8a199cda6eb8c87a440ffb462b529dc1b184615ac9, prefix: pk_docs }]
///   - name: bob
///     keys: [{ hash: 81b637d8fcd2c6da6359e6963113a1170de795e4b725b84d1e0b4cfd9ec58ce9, prefix: pk_bob }]
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - authenticate: { any_of: [{ api_key: {} }, anonymous] }
///       - authorize: { methods: [POST, DELETE], groups: { allow: partners } }
///   - name: own
///     path: /customers/{name}
///     upstream: origin
///     policies:
///       - authenticate: { any_of: { api_key: {} } }
///       - authorize: { expression: 'consumer.name == request.parameters.name || "staff" in consumer.groups' }
/// ```
///
/// ```text
/// GET /orders                              → 200
/// POST /orders                             → 401
/// POST /orders  x-api-key: pk_docs_onlyForTheDocumentation1 → 200
/// GET /customers/alice  x-api-key: pk_docs_onlyForTheDocumentation1 → 200
/// GET /customers/bob  x-api-key: pk_docs_onlyForTheDocumentation1 → 403
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthorizePolicy {
    /// The methods that these rules are for; `GET` takes `HEAD` too. Default: all.
    pub methods: Option<OneOrMany<Method>>,
    /// Consumers by name.
    pub consumers: Option<NameRules>,
    /// Groups of consumers.
    #[schemars(extend("examples" = [{"allow": ["partners"], "deny": ["suspended"]}]))]
    pub groups: Option<NameRules>,
    /// Scopes that the token must have, all of them.
    #[schemars(extend("examples" = [["orders:read"]]))]
    pub scopes: Option<OneOrMany<Scope>>,
    /// Claims that the token must have, by name. The members of objects have dots between: `realm.roles`. Of several values
    /// one is enough; where the claim is a list, it must hold one of them.
    #[schemars(extend("examples" = [{"tenant": "acme", "roles": ["admin", "owner"], "email": {"present": true}}]))]
    pub claims: Option<Named<String, ClaimRule>>,
    /// The addresses that calls may come from.
    #[schemars(extend("examples" = [{"allow": ["10.0.0.0/8"], "deny": ["10.6.6.0/24"]}]))]
    pub addresses: Option<AddressRules>,
    /// The countries that calls may come from, where the platform knows them.
    pub countries: Option<CountryRules>,
    /// Conditions that must all hold, in the Common Expression Language, over the request, the consumer and the token. One that
    /// cannot be evaluated, because a claim is missing for example, does not hold, and the log says where and why.
    pub expression: Option<OneOrMany<Expression>>,
}

/// Names that are let in, and names that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameRules {
    /// One of these is needed. Default: any will do.
    pub allow: Option<OneOrMany<Name>>,
    /// None of these may be there.
    pub deny: Option<OneOrMany<Name>>,
}

/// Ranges of addresses that are let in, and ranges that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressRules {
    /// The address must be in one of these. Default: any will do.
    pub allow: Option<OneOrMany<Cidr>>,
    /// The address must be in none of these.
    pub deny: Option<OneOrMany<Cidr>>,
}

/// Countries that are let in, and countries that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountryRules {
    /// The country must be one of these; calls from where the platform does not know it are refused. Default: any will do.
    pub allow: Option<OneOrMany<Country>>,
    /// The country must be none of these.
    pub deny: Option<OneOrMany<Country>>,
}

/// What is asked of a claim.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimRule {
    /// One of these values, or the only one.
    Values(OneOrMany<ClaimValue>),
    /// Whether it is there, whatever it is.
    Presence(ClaimPresence),
}

/// The value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ClaimValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

/// Whether a claim is there, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimPresence {
    /// Whether it must be there, or must not.
    pub present: bool,
}

/// Lets pages of other origins call, by the CORS protocol of the Fetch standard.
///
/// A browser's preflight is answered before any other policy, because it brings no credentials. Every response of the route
/// carries the headers, refusals and failures included; what the upstream says on the matter is replaced. So it does not
/// matter where in the list this policy stands. A route has one; in a route, it replaces the one of its group.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path_prefix: /orders
///     method: [GET, PUT]
///     upstream: origin
///     policies:
///       - cors: { origins: ["https://app.example.com", "https://*.partner.example"], credentials: true, max_age: 10m }
/// ```
///
/// ```text
/// OPTIONS /orders  origin: https://app.example.com  access-control-request-method: PUT  → 204  access-control-allow-origin: https://app.example.com
/// GET /orders  origin: https://eu.partner.example  → 200  access-control-allow-origin: https://eu.partner.example
/// GET /orders  origin: https://evil.example  → 200  access-control-allow-origin:
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorsPolicy {
    /// The origins whose pages may call.
    #[schemars(extend("examples" = [["https://app.example.com", "https://*.example.com", {"regex": "https://pr-[0-9]+\\.example\\.dev"}]]))]
    pub origins: OneOrMany<OriginRule>,
    /// The methods that they may use. Default: those that the route takes.
    pub methods: Option<OneOrMany<Method>>,
    /// The header fields that they may send. Default: those that they ask for.
    pub headers: Option<OneOrMany<HeaderName>>,
    /// The header fields of the response that their scripts may read, besides the few that all may; `*` for all of them.
    pub expose: Option<OneOrMany<HeaderName>>,
    /// Whether cookies and other credentials of the user may be sent along. Never together with the origin `*`. Default: `false`.
    #[schemars(extend("default" = false))]
    pub credentials: Option<bool>,
    /// For how long a browser may remember the answer to a preflight. Default: the browser's own 5 seconds.
    #[schemars(extend("examples" = ["10m"]))]
    pub max_age: Option<Duration>,
    /// Whether pages of public sites may call this gateway when it stands in a private network. Default: `false`.
    #[schemars(extend("default" = false))]
    pub private_network: Option<bool>,
}

/// An origin, or many.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OriginRule {
    /// As browsers write it, perhaps with a `*`.
    Origin(Origin),
    /// Those that a regular expression describes from beginning to end.
    Regex(RegexRule),
}

/// A regular expression. For origins, it must describe them from beginning to end; elsewhere it is looked for anywhere.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegexRule {
    /// The expression. A dot stands for any character; write `\.` for the dot itself.
    pub regex: Regex,
}

/// Refuses requests that change something and that pages of other origins send on a user's behalf.
///
/// Browsers say where a request comes from, in `Sec-Fetch-Site` and `Origin`. What is not a browser sends neither, and
/// carries nobody's cookies by accident. So no token is needed. GET, HEAD, OPTIONS and QUERY pass:
/// they change nothing, unless they open a WebSocket.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: profile
///     path: /profile
///     upstream: origin
///     policies:
///       - csrf: { trusted_origins: "https://app.example.com" }
/// ```
///
/// ```text
/// POST /profile  sec-fetch-site: same-origin  → 200
/// POST /profile  sec-fetch-site: cross-site  origin: https://app.example.com  → 200
/// POST /profile  sec-fetch-site: cross-site  origin: https://evil.example  → 403
/// GET /profile  sec-fetch-site: cross-site  origin: https://evil.example  → 200
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsrfPolicy {
    /// Other origins whose pages may send such requests. Default: none but the gateway's own.
    #[schemars(extend("examples" = [["https://app.example.com"]]))]
    pub trusted_origins: Option<OneOrMany<OriginRule>>,
}

/// Asks another service whether a request may pass, and tells the upstream what it says.
///
/// The service is told of the request as Traefik's `ForwardAuth` and nginx' `auth_request` users know it: `X-Forwarded-Method`,
/// `-Proto`, `-Host`, `-Uri` and `-For`, and the fields of `request_headers`. With 2xx the request passes; with 3xx or 4xx the
/// client gets the service's answer. A service that does not answer, or answers with 5xx, lets nobody pass (503), unless
/// `on_failure` says otherwise.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
///   access: { targets: [{ url: "http://127.0.0.1:9001" }] }
/// routes:
///   - name: orders
///     path_prefix: /orders
///     upstream: origin
///     policies:
///       - forward_auth:
///           upstream: access
///           path: /verify
///           request_headers: [authorization, cookie]
///           response_headers: [x-user, x-roles]
///           caller: { subject: x-user }
///           cache: { key: "{request.host}", time: 30s }
/// ```
///
/// ```text
/// GET /orders  → 401
/// GET /orders  authorization: Bearer of-alice  → 200
/// ```
///
/// An answer that lets pass can be remembered in the instance's memory: by `key` together with the fields of
/// `request_headers`, so that it never counts for other credentials, for `time` at the most, and never longer than its own
/// `Cache-Control` says.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForwardAuthPolicy {
    /// The upstream to ask.
    pub upstream: Option<Name>,
    /// Whom to ask, instead of an upstream.
    #[schemars(extend("examples" = ["https://access.example.com/verify"]))]
    pub url: Option<TargetUrl>,
    /// The path to ask for, put behind that of the target. Default: none with `url`, `/` with `upstream`.
    #[schemars(extend("examples" = ["/verify", "/verify{request.path}"]))]
    pub path: Option<Template>,
    /// The method of the question. Default: `GET`; the request's own stands in `X-Forwarded-Method`.
    #[schemars(extend("default" = "GET"))]
    pub method: Option<Method>,
    /// Fields of the request that the service gets to see. Default: `authorization` and `cookie`.
    #[schemars(extend("default" = ["authorization", "cookie"]))]
    pub request_headers: Option<OneOrMany<HeaderName>>,
    /// How much of a body the service gets to see, with its `Content-Type`; a longer one is refused with 413. Default: nothing.
    #[schemars(extend("examples" = ["64KiB"]))]
    pub body: Option<Size>,
    /// Fields of the answer that become fields of the request. Whatever a client sends in these fields is removed, in any case.
    pub response_headers: Option<OneOrMany<HeaderName>>,
    /// Fields of an answer that lets pass which become fields of the response to the client. `Set-Cookie` is added, others
    /// replace the upstream's.
    pub client_headers: Option<OneOrMany<HeaderName>>,
    /// Fields of an answer that does not let pass, besides those that describe its body, which the client gets with it. Default:
    /// `location`, `set-cookie`, `www-authenticate`, `cache-control`, `vary` and `retry-after`.
    pub refusal_headers: Option<OneOrMany<HeaderName>>,
    /// How long the service may take. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub timeout: Option<Duration>,
    /// What happens to requests while the service fails. Default: `refuse`, with 503.
    #[schemars(extend("default" = "refuse"))]
    pub on_failure: Option<AuthFailure>,
    /// For how long an answer that lets pass counts for other requests. Default: each request is asked about.
    pub cache: Option<AuthCache>,
    /// Who is calling, as fields of the answer tell. Default: nobody.
    pub caller: Option<AuthCaller>,
}

/// What happens to requests while the service fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthFailure {
    /// They are refused with 503.
    Refuse,
    /// They pass, as nobody's, without the fields of the answer.
    Allow,
}

/// For how long an answer counts, and for which requests.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthCache {
    /// What the answer depends on besides the fields of `request_headers`: requests for which this is the same share it.
    /// Default: method, scheme, host, path and query.
    #[schemars(extend("examples" = ["{request.host}", "{request.method} {request.path}"]))]
    pub key: Option<Template>,
    /// For how long, at the most.
    #[schemars(extend("examples" = ["30s"]))]
    pub time: Duration,
}

/// Who is calling, as fields of the answer tell.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthCaller {
    /// The field with the subject, as in `{token.subject}`.
    pub subject: Option<HeaderName>,
    /// The field with the name of a consumer of the configuration.
    pub consumer: Option<HeaderName>,
}

/// Changes header fields.
///
/// Values may hold what is known of the request, of the route and of who calls, where an `authenticate` before it has asked.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders/{id}
///     upstream: origin
///     policies:
///       - headers:
///           request: { set: { x-order: "{id}" }, remove: [x-debug] }
///           response: { set: { x-route: "{route.name}" } }
/// ```
///
/// ```text
/// GET /orders/7  x-debug: 1  → 200  x-route: orders
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadersPolicy {
    /// Of the request, before it is sent to the upstream.
    pub request: Option<Edits>,
    /// Of the response, before it is sent to the client.
    pub response: Option<Edits>,
}

/// Changes to header fields, in this order: `remove`, `rename`, `replace`, `set`, `default`, `append`, `dedupe`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// Replaces all lines of this name by these.
    #[schemars(extend("examples" = [{"x-client": "{client.address}"}]))]
    pub set: Option<Named<HeaderName, OneOrMany<Template>>>,
    /// Adds lines.
    pub append: Option<Named<HeaderName, OneOrMany<Template>>>,
    /// Takes all lines of these names away.
    pub remove: Option<OneOrMany<HeaderName>>,
    /// Gives lines another name, in the place of those that have it.
    #[schemars(extend("examples" = [{"x-user": "x-subject"}]))]
    pub rename: Option<Named<HeaderName, HeaderName>>,
    /// Replaces all lines of this name by one, where there is any.
    pub replace: Option<Named<HeaderName, Template>>,
    /// Adds a line where there is none of this name.
    pub default: Option<Named<HeaderName, Template>>,
    /// Leaves one value of those of a name, or one of those that are the same, whether they stand on lines of their own or with
    /// commas between. Not for fields whose values hold commas.
    #[schemars(extend("examples" = [{"access-control-allow-origin": "first", "vary": "unique"}]))]
    pub dedupe: Option<Named<HeaderName, Dedupe>>,
    /// Of responses: the statuses with which they are changed. Default: all.
    #[schemars(extend("examples" = [["5xx", 404]]))]
    pub statuses: Option<OneOrMany<AnswerStatus>>,
}

/// Which values of a field are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dedupe {
    /// The first.
    First,
    /// The last.
    Last,
    /// One of those that are the same.
    Unique,
}

/// Refuses requests by what they say of themselves: the program that sends them, the page they come from, the kind of body.
///
/// All of this is anybody's claim: it keeps out what is honest and unwanted, and what comes by mistake. Refused are programs
/// and pages with 403, bodies with 415 and, in `Accept`, what is taken instead.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: orders
///     path: /orders
///     upstream: origin
///     policies:
///       - request_rules:
///           user_agents: { deny: [badbot] }
///           content_types: { allow: [application/json, "application/*+json"] }
/// ```
///
/// ```text
/// GET /orders  user-agent: Mozilla/5.0  → 200
/// GET /orders  user-agent: BadBot/1.0  → 403
/// POST /orders  content-type: application/json  → 200
/// POST /orders  content-type: text/xml  → 415  accept: application/json, application/*+json
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestRulesPolicy {
    /// The programs, by what stands in `User-Agent`.
    #[schemars(extend("examples" = [{"deny": ["badbot", {"regex": "^curl/[0-7]\\."}]}]))]
    pub user_agents: Option<AgentRules>,
    /// The pages, by the origin in `Referer`.
    #[schemars(extend("examples" = [{"allow": ["https://*.example.com"]}]))]
    pub referers: Option<RefererRules>,
    /// The kinds of bodies, by `Content-Type`. Requests without a body pass.
    #[schemars(extend("examples" = [{"allow": ["application/json", "application/*+json"]}]))]
    pub content_types: Option<ContentTypeRules>,
}

/// Programs that are let in, and programs that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRules {
    /// One of these must be found in it. Default: any will do.
    pub allow: Option<OneOrMany<AgentRule>>,
    /// None of these may be found in it.
    pub deny: Option<OneOrMany<AgentRule>>,
    /// Whether programs that do not say what they are called are refused, as `allow` does anyway. Default: `false`.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
}

/// What is looked for in the name of a program.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AgentRule {
    /// This text, in upper or lower case.
    Text(String),
    /// What a regular expression finds.
    Regex(RegexRule),
}

/// Pages that are let in, and pages that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefererRules {
    /// The page must be of one of these origins. Default: any will do.
    pub allow: Option<OneOrMany<OriginRule>>,
    /// The page must be of none of these origins.
    pub deny: Option<OneOrMany<OriginRule>>,
    /// Whether requests that do not say which page they come from are refused; many browsers keep it to themselves.
    /// Default: `false`.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
}

/// Kinds of bodies that are let in, and kinds that are not. Denying comes first.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentTypeRules {
    /// One of these is needed. Default: any will do.
    pub allow: Option<OneOrMany<MediaRange>>,
    /// None of these may be there.
    pub deny: Option<OneOrMany<MediaRange>>,
    /// Whether bodies that do not say what they are are refused, as `allow` does anyway. Default: `false`.
    #[schemars(extend("default" = false))]
    pub required: Option<bool>,
}

/// Tells browsers to be careful, and others nothing of what runs behind the gateway.
///
/// Without any field it sets what suits most: `Strict-Transport-Security: max-age=31536000; includeSubDomains` (over TLS
/// only), `X-Content-Type-Options: nosniff`, `X-Frame-Options: DENY`, `Referrer-Policy: strict-origin-when-cross-origin`,
/// `Content-Security-Policy: frame-ancestors 'none'` and `Cross-Origin-Opener-Policy: same-origin`. Every response of the
/// route carries them, refusals and failures included, wherever in the list this policy stands. A route has one; in a
/// route, it replaces the one of its group.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: site
///     upstream: origin
///     policies:
///       - security_headers:
///           set: { content-security-policy: "default-src 'self'", permissions-policy: camera=() }
///           drop: [cross-origin-opener-policy]
/// ```
///
/// ```text
/// GET /  → 200  x-content-type-options: nosniff
/// GET /  → 200  content-security-policy: default-src 'self'
/// GET /  → 200  cross-origin-opener-policy:
/// ```
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityHeadersPolicy {
    /// Other values for these fields, or other fields.
    #[schemars(extend("examples" = [{"content-security-policy": "default-src 'self'", "permissions-policy": "camera=()"}]))]
    pub set: Option<Named<HeaderName, String>>,
    /// Fields of the usual ones that are not set.
    #[schemars(extend("examples" = [["x-frame-options"]]))]
    pub drop: Option<OneOrMany<HeaderName>>,
    /// Whether fields that the upstream or another policy has set are replaced. Default: `false`, they stay.
    #[schemars(extend("default" = false))]
    pub replace: Option<bool>,
    /// Fields that are taken out of responses, because they say what runs behind the gateway. Default: `server`,
    /// `x-powered-by`, `x-aspnet-version` and `x-aspnetmvc-version`. Platforms may put a `server` of their own.
    pub conceal: Option<Vec<HeaderName>>,
}
