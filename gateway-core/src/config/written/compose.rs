//! Answers from several calls, and batches of requests, as users write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{
    AnswerStatus, CachePolicy, Duration, Expression, HeaderName, HostHeader, JsonPath, JsonTemplate, Method, Name,
    Named, OneOrMany, Query, Retries, RetryBudget, Size, Status, StepName, Template, number_or_text,
};

/// Answers from several calls: steps that need nothing of each other run side by side.
///
/// A step that says `{steps.user.body.id}` in its path, query, headers or body, or `steps.user` in `when` or `for_each`, begins when
/// the step `user` is over. Without `answer`, the answer is an object with a member for each step. `docs/composition.md` says more.
///
/// ```yaml
/// compose:
///   steps:
///     user: { upstream: users, path: "/users/{id}" }
///     orders: { upstream: orders, path: /orders, query: { user: "{steps.user.body.id}" }, on_error: omit }
/// ```
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// The steps, by name, in the order of their members in the answer. They may need each other in any order, but not in a circle.
    pub steps: Named<StepName, ComposeStep>,
    /// What the answer is: any value whose texts are templates, in which `{steps.user.body.name}` is a part of what a step has
    /// answered, `{steps.user.status}` its status, `{steps.user.headers.etag}` one of its header fields, and `{body.id}` a part of the
    /// request's body. Excludes `query`, and `group`, `merge`, `rename`, `allow`, `deny` and `hidden` of the steps. Default: an object with a
    /// member for each step.
    pub answer: Option<JsonTemplate>,
    /// What the answer is: what this JMESPath expression gives for `{"steps": {"user": {"status": 200, "body": …}}}`. Excludes what
    /// `answer` excludes.
    #[schemars(extend("examples" = ["{name: steps.user.body.name, open: length(steps.orders.body[?open])}"]))]
    pub query: Option<Query>,
    /// The status: 200 to 599, or a template that gives one, such as `{steps.user.status}`. Default: 200.
    pub status: Option<StatusTemplate>,
    /// Header fields of the answer.
    #[schemars(extend("examples" = [{"cache-control": "max-age=60"}]))]
    pub headers: Option<Named<HeaderName, OneOrMany<Template>>>,
    /// Sends the members of the answer as their steps are finished, instead of all together. The status and the header fields go at
    /// once, so they can say nothing of steps. Default: all together.
    #[schemars(extend("examples" = ["ndjson", {"form": "sse", "order": "declared"}]))]
    pub stream: Option<ComposeStream>,
    /// How many calls may be under way at once. Workers wait for the heads of six responses at once, and let others wait.
    /// Default: 6.
    #[schemars(extend("default" = 6), range(min = 1, max = 100))]
    pub parallel: Option<u32>,
    /// How long all of it may take. What is not finished then has failed. A shorter deadline of the client's (`deadline_header` of an
    /// upstream) counts too. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub timeout: Option<Duration>,
    /// How many bytes the bodies of all steps may have together. In a stream, those that have been sent and that nobody needs do not
    /// count. Default: `10MiB`.
    #[schemars(extend("default" = "10MiB"))]
    pub limit: Option<Size>,
}

/// One call of a composition, or one for each item of a list.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ComposeStep {
    /// The upstream that is called, with its balancing, health, retries, hedging, breaker, fallback and credentials.
    pub upstream: Name,
    /// The method. Default: `GET`, or `POST` where there is a `body`.
    #[schemars(extend("default" = "GET"))]
    pub method: Option<Method>,
    /// The path. What fills its holes is percent-encoded, so it never adds a segment; where something is not there, the step is not
    /// called, and has failed. Default: `/`.
    #[schemars(extend("default" = "/", "examples" = ["/users/{id}", "/orders/{steps.user.body.id}"]))]
    pub path: Option<Template>,
    /// Parameters of the query. One whose value is not there is left out.
    #[schemars(extend("examples" = [{"user": "{steps.user.body.id}"}]))]
    pub query: Option<Named<String, Template>>,
    /// Fields of the client's request that go with this call. Default: none but those of its trace.
    #[schemars(extend("examples" = [["authorization", "accept-language"]]))]
    pub forward_headers: Option<OneOrMany<HeaderName>>,
    /// Header fields. One whose value is not there is left out.
    #[schemars(extend("examples" = [{"x-user": "{steps.user.body.id}"}]))]
    pub headers: Option<Named<HeaderName, Template>>,
    /// What is sent, as JSON: any value whose texts are templates.
    pub body: Option<JsonTemplate>,
    /// How the answer is read. Default: `json`.
    #[schemars(extend("default" = "json"))]
    pub format: Option<StepFormat>,
    /// The statuses that are no failures. Default: `2xx`.
    #[schemars(extend("default" = "2xx", "examples" = [["2xx", 404]]))]
    pub success: Option<OneOrMany<AnswerStatus>>,
    /// How many bytes of an answer are read. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
    /// How long a call may take, with all attempts, until the answer's body is there. Default: as long as the upstream's `timeouts` and
    /// the whole allow.
    pub timeout: Option<Duration>,
    /// Makes a call that has failed once more: there was no answer in time, or only a part of one, or one with a status that is no success
    /// and stands here. That comes on top of what the upstream's own `retries` do, which see the head of an answer, not its body.
    /// Default: it is made once.
    #[schemars(extend("examples" = [{"attempts": 1}]))]
    pub retries: Option<StepRetries>,
    /// The `Host` that the upstream sees, instead of what the upstream's own `host` says. On Workers and on Spin it is always the
    /// target's own; `X-Forwarded-Host` has the one that the client asked for.
    pub host_header: Option<HostHeader>,
    /// Calls only if this holds; with `for_each`, `each` is the item, and it is asked for every one. What is not there makes it not hold.
    #[schemars(extend("examples" = ["steps.user.body.premium", "has(steps.user) && request.query.full == \"1\""]))]
    pub when: Option<Expression>,
    /// Calls once for each item of a list, which is `{each}` in templates, side by side. The step's body is the list of the answers'
    /// bodies.
    pub for_each: Option<ForEach>,
    /// What becomes of a failure; with `for_each`, of the failure of one item. Default: `fail`.
    #[schemars(extend("default" = "fail", "examples" = ["omit", {"default": []}]))]
    pub on_error: Option<OnError>,
    /// Keeps the step's answers by the rules of HTTP, as the policy `cache` does for a route: whoever needs what is fresh gets it from
    /// the cache, and many who need the same at once ask once. The key is what the step asks for, and which upstream. Callers who are
    /// authenticated have caches of their own, unless `across_callers` says otherwise. Default: nothing is kept.
    #[schemars(extend("examples" = [{"ttl": {"default": "1m"}}]))]
    pub cache: Option<CachePolicy>,
    /// The name of the member in the answer. Default: the name of the step.
    pub group: Option<String>,
    /// Whether the members of the body become members of the answer, in the place of those of the same name before. Excludes `group`
    /// and a `stream`. Default: `false`.
    #[schemars(extend("default" = false))]
    pub merge: Option<bool>,
    /// Gives members of the body another name in the answer.
    #[schemars(extend("examples" = [{"user_name": "name", "items.*.id": "key"}]))]
    pub rename: Option<Named<JsonPath, String>>,
    /// Only these parts of the body are in the answer.
    pub allow: Option<OneOrMany<JsonPath>>,
    /// These parts of the body are not in the answer.
    pub deny: Option<OneOrMany<JsonPath>>,
    /// Whether it is not in the answer: only for other steps. Default: `false`.
    #[schemars(extend("default" = false))]
    pub hidden: Option<bool>,
}

/// When a call is made once more, and how often, within the step's `timeout`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepRetries {
    /// How often at most, after the first call. Default: 2.
    #[schemars(extend("default" = 2), range(min = 0, max = 10))]
    pub attempts: Option<u32>,
    /// After which statuses. `Retry-After` (in seconds) is waited for where the time allows it. Default: 502, 503 and 504.
    #[schemars(extend("default" = [502, 503, 504]))]
    pub statuses: Option<OneOrMany<Status>>,
    /// Whether also with a method that is not idempotent: the upstream may do it twice. Default: `false`.
    #[schemars(extend("default" = false))]
    pub unsafe_methods: Option<bool>,
    /// How long to wait before the first time, at most; each further time at most twice as long. How much of it is drawn by
    /// lot. Default: `25ms`.
    #[schemars(extend("default" = "25ms"))]
    pub pause: Option<Duration>,
    /// How long to wait at most. Default: `250ms`.
    #[schemars(extend("default" = "250ms"))]
    pub longest_pause: Option<Duration>,
    /// How many extra calls there may be within ten seconds, of all those to the upstream that may be made again, in one instance of the
    /// gateway.
    pub budget: Option<RetryBudget>,
}

impl From<&StepRetries> for Retries {
    fn from(written: &StepRetries) -> Self {
        let StepRetries { attempts, statuses, unsafe_methods, pause, longest_pause, budget } = written.clone();
        Self { attempts, on: None, statuses, unsafe_methods, pause, longest_pause, body: None, budget }
    }
}

/// How a step's answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepFormat {
    /// As JSON; an answer that does not say that it is has failed.
    Json,
    /// As text, whatever it says that it is: one string.
    Text,
    /// As XML, by the mapping of `docs/policies/transform.md`.
    Xml,
}

/// A list for whose items a step is done. Either `at_most` bounds it, or it is a problem of the configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForEach {
    /// Where the list is.
    #[serde(rename = "in")]
    #[schemars(extend("examples" = ["steps.cart.body.items"]))]
    pub list: JsonPath,
    /// For how many items at most.
    #[schemars(range(min = 1, max = 1000))]
    pub at_most: Option<u32>,
    /// What becomes of longer lists. Default: `fail`.
    #[schemars(extend("default" = "fail"))]
    pub beyond: Option<Beyond>,
}

/// What becomes of a list that is longer than what it is done for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Beyond {
    /// The step fails, before anything is sent.
    Fail,
    /// The rest is left out, and the answer is not complete.
    Cut,
}

/// What becomes of a failure. An answer in whose place something else is, or from which something is missing, is not complete.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The whole fails: 502, or 504 where it took too long. A stream breaks off.
    Fail,
    /// The step is left out.
    Omit,
    /// The step is left out, and the member `errors` of the answer says so.
    Errors,
    /// This takes the place of the body.
    Default(JsonTemplate),
}

/// How members are sent as their steps are finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ComposeStream {
    /// In this form, in the order in which they are finished.
    Form(StreamForm),
    /// In this form and order.
    Full {
        /// The form.
        form: StreamForm,
        /// The order.
        order: Option<StreamOrder>,
    },
}

impl JsonSchema for ComposeStream {
    fn schema_name() -> Cow<'static, str> {
        "ComposeStream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (form, order) = (generator.subschema_for::<StreamForm>(), generator.subschema_for::<StreamOrder>());
        json_schema!({
            "description": "How members are sent as their steps are finished.",
            "anyOf": [
                form,
                {
                    "type": "object",
                    "description": "In this form and order.",
                    "properties": { "form": form, "order": order },
                    "required": ["form"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// How members of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamForm {
    /// One object that grows. Its last member is `complete`, and before it stands `errors`, where there are some.
    Json,
    /// A line for each: `{"name": …, "value": …}`, `{"error": …}`, and at the end `{"complete": true}`.
    Ndjson,
    /// The same as server-sent events: `member`, `error` and `end`.
    Sse,
}

/// In which order members are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamOrder {
    /// As they are finished.
    Finished,
    /// As they are written in the configuration.
    Declared,
}

/// A status, or a template that gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusTemplate(pub String);

impl<'de> Deserialize<'de> for StatusTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, |status: u16| Ok(Self(status.to_string())), |text| Ok(Self(text.to_owned())))
    }
}

impl JsonSchema for StatusTemplate {
    fn schema_name() -> Cow<'static, str> {
        "StatusTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status, or a template that gives one.",
            "type": ["integer", "string"],
            "minimum": 200,
            "maximum": 599,
            "pattern": "^([2-5][0-9][0-9]|.*\\{.+\\}.*)$",
            "examples": [200, "{steps.user.status}"],
        })
    }
}

/// Takes a list of requests, and answers with the list of their answers.
///
/// The body is `[{"method": "GET", "path": "/a", "headers": {…}, "body": …}, …]`, and the answer
/// `[{"status": 200, "headers": {…}, "body": …}, …]`, in the same order. Each request goes through the routes and policies of the
/// gateway as if it had come by itself, from the same client. `docs/composition.md` says more.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// How many requests a batch may have. Default: 20.
    #[schemars(extend("default" = 20), range(min = 1, max = 1000))]
    pub at_most: Option<u32>,
    /// How many of them are answered at once. Default: 6.
    #[schemars(extend("default" = 6), range(min = 1, max = 100))]
    pub parallel: Option<u32>,
    /// How many bytes the list of requests may have. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub limit: Option<Size>,
    /// How many bytes of each answer are taken. A longer one is answered with 502. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub answer_limit: Option<Size>,
    /// How long all of it may take. What is not answered then is answered with 504. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub timeout: Option<Duration>,
    /// Header fields that each request has from the batch's own, unless it has them itself, besides `Cookie`, `Origin`, `Referer`,
    /// `User-Agent`, `Accept-Language` and `Sec-Fetch-*`, which it always has from there. Default: `authorization`.
    #[schemars(extend("default" = ["authorization"], "examples" = [["authorization", "x-api-key"]]))]
    pub inherit: Option<OneOrMany<HeaderName>>,
}
