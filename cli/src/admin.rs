//! The admin interface of a gateway that runs, asked over HTTP.

use std::env;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Request, Response, Uri};

use crate::arguments::AdminOptions;
use crate::outcome::Failure;

/// Where the token comes from: never from the command line, which every process on the machine can read.
pub const TOKEN: &str = "POSTERN_ADMIN_TOKEN";

/// A connection to the admin interface.
pub struct Admin {
    agent: ureq::Agent,
    /// Without a slash at its end.
    url: String,
    authorization: String,
}

/// Why an answer is none.
#[derive(Debug)]
pub enum Refusal {
    /// It may be there in a moment: nothing answers, or the gateway says so itself.
    Later(String),
    /// It will not be.
    Never(String),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Later(why) | Refusal::Never(why) => Failure::Told(why),
        }
    }
}

impl Admin {
    /// Prepares to ask the interface that the options and the environment name.
    pub fn new(options: &AdminOptions) -> Result<Self, Failure> {
        let token = env::var(TOKEN).unwrap_or_default();
        let token = token.trim();
        if token.is_empty() {
            return Err(Failure::told(format!("set {TOKEN} to a token of the gateway's `admin` block")));
        }
        let url = options.url.trim_end_matches('/').to_owned();
        let uri: Uri = url.parse().map_err(|_| Failure::told(format!("`{url}` is not a URL")))?;
        let host = uri.host().unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_here || options.insecure => {}
            Some("http") => {
                return Err(Failure::told(format!(
                    "`{url}` would send the token where others can read it; write https, or --insecure if the way there is safe"
                )));
            }
            _ => {
                return Err(Failure::told(format!(
                    "`{url}` needs a scheme and a host, like https://api.example.com/_postern"
                )));
            }
        }
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            // A token goes to whom it was meant for.
            .max_redirects(0)
            .http_status_as_error(false)
            .user_agent(concat!("postern/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Ok(Self { agent, url, authorization: format!("Bearer {token}") })
    }

    /// Asks for something, with what is given of a query.
    pub fn get(&self, path: &str, query: &[(&str, Option<String>)]) -> Result<Value, Refusal> {
        let query = query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let request = self.agent.get(format!("{}/{path}", self.url)).query_pairs(query);
        self.read(request.header("authorization", &self.authorization).call())
    }

    /// Puts bytes of this type there.
    pub fn put(
        &self,
        path: &str,
        query: &[(&str, Option<String>)],
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Value, Refusal> {
        let query = query.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let request = self.agent.put(format!("{}/{path}", self.url)).query_pairs(query).content_type(media_type);
        self.read(request.header("authorization", &self.authorization).send(bytes))
    }

    /// Has something changed.
    pub fn change(&self, method: &str, path: &str, body: &Value) -> Result<Value, Refusal> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.url))
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(body.to_string())
            .map_err(|error| Refusal::Never(error.to_string()))?;
        // A DELETE may say why.
        let request = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        self.read(self.agent.run(request))
    }

    /// What an answer says, or why it says nothing.
    fn read(&self, answer: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Refusal> {
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(MOST).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        let value: Option<Value> = serde_json::from_str(&text).ok();
        match (status, value) {
            (200 | 201, Some(value)) => Ok(value),
            (429 | 500.., value) => Err(Refusal::Later(self.told(status, value.as_ref()))),
            (_, value) => Err(Refusal::Never(self.told(status, value.as_ref()))),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Refusal {
        Refusal::Later(format!("{} does not answer: {error}", self.url))
    }

    fn told(&self, status: u16, problem: Option<&Value>) -> String {
        let word = |name| problem.and_then(|problem| problem[name].as_str()).unwrap_or_default();
        match (status, word("title"), word("detail")) {
            (200, ..) | (_, "", _) => {
                format!("{} answers {status}, and not as an admin interface does; is --url right?", self.url)
            }
            (_, title, detail) => clean(&format!("{} refuses: {status} {title}. {detail}", self.url)),
        }
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many bytes of an answer are read.
const MOST: u64 = 64 * 1024 * 1024;

/// What others have written, without what would steer a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
