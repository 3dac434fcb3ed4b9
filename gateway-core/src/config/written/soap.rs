//! SOAP messages that routes send, as users write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{FailureStatus, JsonPath, JsonTemplate, Named, OneOrMany, Query, Size, Template, format, number_or_text};

/// Has a route send a SOAP message, and makes JSON of the answer: what stands in its `Body`, by the same rules as `transform` reads
/// XML. Faults become problem details. `docs/soap.md` says more.
///
/// ```yaml
/// upstreams:
///   stock: { targets: [{ url: "http://127.0.0.1:9000" }] }
/// routes:
///   - name: stock
///     path: /stock/{item}
///     method: GET
///     upstream: stock
///     soap:
///       path: /services/stock
///       action: urn:stock/GetStock
///       body: '<s:GetStock xmlns:s="urn:stock"><s:item>{item}</s:item></s:GetStock>'
///       pick: GetStockResponse
///       faults: { UnknownItem: 404 }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soap {
    /// Which SOAP. Default: `1.1`.
    #[schemars(extend("default" = "1.1"))]
    pub version: Option<SoapVersion>,
    /// The path that the message is sent to.
    #[schemars(extend("examples" = ["/services/orders"]))]
    pub path: Template,
    /// What the message is for: `SOAPAction` in SOAP 1.1, the parameter `action` of the media type in 1.2. Default: nothing.
    #[schemars(extend("examples" = ["urn:shop/GetOrder"]))]
    pub action: Option<Template>,
    /// What stands in the message's `Body`: XML, whose values are escaped, or any value whose texts are templates, which becomes XML
    /// as `transform` writes it (`@name` for attributes, lists for repeated elements). `{body.user.id}` is a part of the request's
    /// JSON body; parameters of the path come decoded.
    #[schemars(extend("examples" = ["<GetOrder xmlns=\"urn:shop\"><id>{id}</id></GetOrder>", {"GetOrder": {"@xmlns": "urn:shop", "id": "{id}"}}]))]
    pub body: JsonTemplate,
    /// What stands in its `Header`, likewise. Default: there is none.
    pub header: Option<JsonTemplate>,
    /// What becomes of prefixes and declarations of namespaces in the answer. Default: `strip`.
    #[schemars(extend("default" = "strip"))]
    pub namespaces: Option<SoapNamespaces>,
    /// What in the answer is a list, even where there is one or none: paths from the `Body` on.
    #[schemars(extend("examples" = ["GetOrdersResponse.orders.order"]))]
    pub lists: Option<OneOrMany<JsonPath>>,
    /// What of the answer's `Body` the client gets. Default: all of it.
    #[schemars(extend("examples" = ["GetOrderResponse.order"]))]
    pub pick: Option<JsonPath>,
    /// A JMESPath expression over that, whose answer the client gets.
    pub query: Option<Query>,
    /// The status for faults, by their codes without prefixes: a subcode (SOAP 1.2) before the code, and `Client.Login` (1.1) before
    /// `Client`. Where nothing is said, `Client` and `Sender` are 400, and all others 502.
    #[schemars(extend("examples" = [{"UnknownOrder": 404, "Client.Authentication": 401}]))]
    pub faults: Option<Named<String, FailureStatus>>,
    /// Whether clients get to see the details of faults, which may tell of what is behind. Default: `false`.
    #[schemars(extend("default" = false))]
    pub fault_details: Option<bool>,
    /// How many bytes of a request's body are read, where the message names it. The message may become 16 times as long. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub max_request: Option<Size>,
    /// How many bytes an answer may have; a longer one is a 502. Default: `4MiB`.
    #[schemars(extend("default" = "4MiB"))]
    pub max_response: Option<Size>,
}

/// Which SOAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoapVersion {
    /// `1.1`
    One,
    /// `1.2`
    Two,
}

impl JsonSchema for SoapVersion {
    fn schema_name() -> Cow<'static, str> {
        "SoapVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Which SOAP: `1.1` or `1.2`.",
            "type": ["number", "string"],
            "minimum": 1.1,
            "maximum": 1.2,
            "pattern": "^1\\.[12]$",
            "examples": ["1.1", "1.2"],
        })
    }
}

impl<'de> Deserialize<'de> for SoapVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, |number: f64| format::soap_version(&number.to_string()), format::soap_version)
    }
}

/// What becomes of prefixes and declarations of namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SoapNamespaces {
    /// They go; what is `xsi:nil` is `null`.
    Strip,
    /// They stay: `m:order`, `@xmlns:m`.
    Keep,
}
