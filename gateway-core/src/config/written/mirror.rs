//! Who gets copies of requests, as users write it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HeaderName, Method, Name, OneOrMany, Share, Size};

/// Copies a share of the requests to another upstream, and compares its answers with those that clients got, if asked.
///
/// A copy is what the upstream of the route was sent, with the same path, without credentials and marked with `mark`. It is sent when the
/// answer is on its way: nobody waits for it, and what becomes of it only the log hears (`mirror-failed`). A request is copied
/// where it stands in the order of policies: one that is refused before is not. Not copied are requests with a body that is longer
/// than `body` or whose length nobody has declared, and changes of protocol. A body of up to `body` is read before
/// the request is sent on, as it is for retries.
///
/// With `compare`, the answer's body is copied while it passes to the client, who is neither held back nor read ahead of; the copy
/// is sent when it has passed. Differences are logged as `mirror-differs` with their places (a JSON Pointer into a JSON body),
/// never with values.
///
/// ```yaml
/// upstreams:
///   origin: { targets: [{ url: "http://127.0.0.1:9000" }] }
///   next: { targets: [{ url: "http://127.0.0.1:9002" }] }
/// routes:
///   - name: orders
///     path: /orders
///     upstream: origin
///     policies:
///       - mirror:
///           upstream: next
///           percent: 10
///           compare: { headers: content-type, ignore: [/id, /items/*/updated] }
/// ```
///
/// ```text
/// GET /orders                  → 200
/// POST /orders  {"item":"pen"} → 200
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorPolicy {
    /// The upstream that gets the copies. Its retries, timeouts and balance are its own.
    pub upstream: Name,
    /// How many percent of the requests are copied, by lot: a whole number, or a text such as `0.5%`. Default: 100.
    #[schemars(extend("default" = 100))]
    pub percent: Option<Share>,
    /// The methods that are copied. Default: all.
    #[schemars(extend("examples" = [["GET", "HEAD"]]))]
    pub methods: Option<OneOrMany<Method>>,
    /// How long a request's body may be to be copied. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub body: Option<Size>,
    /// Whether copies have the fields `Authorization` and `Cookie`. Default: `remove`.
    #[schemars(extend("default" = "remove"))]
    pub credentials: Option<MirrorCredentials>,
    /// Further header fields that copies do not have: of other credentials, or of what nobody there should know.
    #[schemars(extend("examples" = [["x-api-key"]]))]
    pub remove: Option<OneOrMany<HeaderName>>,
    /// The field that marks a copy; its value is `true`. Default: `x-mirror`.
    #[schemars(extend("default" = "x-mirror"))]
    pub mark: Option<HeaderName>,
    /// What of the two answers is compared, besides their statuses. Default: nothing is compared.
    pub compare: Option<MirrorCompare>,
}

/// Whether copies have the credentials of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MirrorCredentials {
    /// They are taken out.
    Remove,
    /// They are copied.
    Keep,
}

/// What of two answers is compared, besides their statuses.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MirrorCompare {
    /// Header fields. Default: none.
    #[schemars(extend("examples" = [["content-type", "location"]]))]
    pub headers: Option<OneOrMany<HeaderName>>,
    /// Bodies up to this length; 0 compares none. A longer one, a packed one and an event stream are told as such. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub body: Option<Size>,
    /// Parts of JSON bodies that may differ: JSON Pointers (RFC 6901), in which `*` stands for any one member or item.
    #[schemars(extend("examples" = [["/id", "/items/*/updated"]]))]
    pub ignore: Option<OneOrMany<String>>,
}
