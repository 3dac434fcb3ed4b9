//! Lets pages of other origins call, by the CORS protocol of the Fetch standard (§3.2).

use super::Memo;
use super::origin::OriginRule;
use crate::http::{Body, Headers, Response, is_token, list};
use crate::request::Line;
use serde::{Deserialize, Serialize};

/// Who may call from where, and what their scripts may see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// Origins whose pages may call.
    pub origins: Vec<OriginRule>,
    /// Methods that they may use; empty: those that the route takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Header fields that they may send, in lower case; empty: those that they ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Header fields of the response that scripts may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Whether cookies and other credentials may be sent along.
    pub credentials: bool,
    /// For how many seconds a browser may remember the answer to a preflight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Whether pages of public sites may reach this gateway in a private network (WICG Private Network Access).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private_network: bool,
}

/// The method that a preflight asks for (Fetch §3.2.2); `None` where this is no preflight.
pub fn requested_method<'a>(line: &Line, headers: &'a Headers) -> Option<&'a str> {
    if line.method != "OPTIONS" || !headers.contains("origin") {
        return None;
    }
    headers.text("access-control-request-method").filter(|method| is_token(method))
}

impl Cors {
    /// The answer to a preflight. An origin that may not call gets one without permission, and the browser does the rest.
    pub fn preflight<S>(&self, request: &Headers, method: &str) -> Response<S> {
        let mut headers = Headers::new();
        headers.set("vary", VARY);
        let origin = request.text("origin").filter(|origin| self.allows(origin));
        if let Some(origin) = origin
            && self.takes(method)
        {
            self.permit(&mut headers, origin);
            let methods = if self.methods.is_empty() { method.to_owned() } else { self.methods.join(", ") };
            headers.set("access-control-allow-methods", methods);
            let asked: Vec<_> = list(request, "access-control-request-headers").filter(|name| is_token(name)).collect();
            let allowed = if self.headers.is_empty() { asked.join(", ") } else { self.headers.join(", ") };
            if !allowed.is_empty() {
                headers.set("access-control-allow-headers", allowed);
            }
            if let Some(seconds) = self.max_age {
                headers.set("access-control-max-age", seconds.to_string());
            }
            if self.private_network && request.text("access-control-request-private-network") == Some("true") {
                headers.set("access-control-allow-private-network", "true");
            }
        }
        Response { status: 204, headers, body: Body::Empty }
    }

    /// Remembers who asks.
    pub fn on_request(&self, headers: &Headers, memo: &mut Memo) {
        memo.origin = headers.text("origin").map(str::to_owned);
    }

    /// Gives permission, or sees to it that nobody else has given it.
    pub fn on_response(&self, headers: &mut Headers, memo: &Memo) {
        for name in ["access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"]
        {
            headers.remove(name);
        }
        // What is the same for everybody is said to everybody (Fetch §3.2.5): a cache may hand it to any page.
        let origin = if self.is_for_all() { Some("*") } else { memo.origin.as_deref() };
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            self.permit(headers, origin);
            if !self.expose.is_empty() {
                headers.set("access-control-expose-headers", self.expose.join(", "));
            }
        }
        let varies = list(headers, "vary").any(|name| name == "*" || name.eq_ignore_ascii_case("origin"));
        if !self.is_for_all() && !varies {
            headers.append("vary", "Origin");
        }
    }

    fn permit(&self, headers: &mut Headers, origin: &str) {
        headers.set("access-control-allow-origin", if self.is_for_all() { "*" } else { origin });
        if self.credentials {
            headers.set("access-control-allow-credentials", "true");
        }
    }

    /// No list: the route has been found by this method, so it takes it.
    fn takes(&self, method: &str) -> bool {
        self.methods.is_empty()
            || self.methods.iter().any(|known| known == method || (known == "GET" && method == "HEAD"))
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|rule| rule.matches(origin))
    }

    /// Whether the answer is the same for everybody.
    fn is_for_all(&self) -> bool {
        self.origins.contains(&OriginRule::Any) && !self.credentials
    }
}

/// What a browser puts into a preflight; one cached answer must not serve another question.
const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[cfg(test)]
mod tests {
    use super::*;

    fn cors() -> Cors {
        Cors {
            origins: vec![
                OriginRule::Exact("https://app.example".into()),
                OriginRule::Wildcard("https://".into(), ".example.com".into()),
            ],
            credentials: true,
            ..Cors::default()
        }
    }

    fn answered(cors: &Cors, origin: &str) -> Option<String> {
        let mut memo = Memo::default();
        cors.on_request(&Headers::from_block(format!("origin\0{origin}\n").into_bytes()), &mut memo);
        let mut headers = Headers::from_block(b"access-control-allow-origin\0*\n".to_vec());
        cors.on_response(&mut headers, &memo);
        headers.text("access-control-allow-origin").map(str::to_owned)
    }

    #[test]
    fn only_listed_origins_are_permitted_whatever_the_upstream_says() {
        for (origin, permitted) in [
            ("https://app.example", true),
            ("https://a.b.example.com", true),
            ("https://example.com", false),
            ("http://app.example", false),
            ("null", false),
        ] {
            assert_eq!(answered(&cors(), origin).as_deref(), permitted.then_some(origin), "{origin}");
        }
    }

    #[test]
    fn everybody_gets_a_star_and_no_vary() {
        let cors = Cors { origins: vec![OriginRule::Any], expose: vec!["x-total".into()], ..Cors::default() };
        assert_eq!(answered(&cors, "https://x").as_deref(), Some("*"));
        let mut headers = Headers::new();
        cors.on_response(&mut headers, &Memo::default());
        assert_eq!(
            headers.iter().collect::<Vec<_>>(),
            [("access-control-allow-origin", &b"*"[..]), ("access-control-expose-headers", b"x-total")]
        );
    }

    #[test]
    fn answers_vary_by_origin_even_without_one() {
        let mut headers = Headers::from_block(b"vary\0accept\n".to_vec());
        cors().on_response(&mut headers, &Memo::default());
        assert_eq!(list(&headers, "vary").collect::<Vec<_>>(), ["accept", "Origin"]);
    }

    #[test]
    fn a_preflight_is_told_what_it_may_do() {
        const ORIGIN: &str = "origin\0https://app.example\n";
        let strict = Cors {
            methods: vec!["GET".into(), "PUT".into()],
            headers: vec!["content-type".into()],
            max_age: Some(600),
            private_network: true,
            ..cors()
        };
        for (cors, method, block, methods, fields, network) in [
            (
                &cors(),
                "DELETE",
                format!("{ORIGIN}access-control-request-headers\0x-a, x-b\n"),
                Some("DELETE"),
                Some("x-a, x-b"),
                None,
            ),
            (&cors(), "DELETE", ORIGIN.to_owned(), Some("DELETE"), None, None),
            (&cors(), "DELETE", "origin\0https://evil.example\n".to_owned(), None, None, None),
            (
                &strict,
                "PUT",
                format!("{ORIGIN}access-control-request-headers\0x-a\n"),
                Some("GET, PUT"),
                Some("content-type"),
                None,
            ),
            (&strict, "HEAD", ORIGIN.to_owned(), Some("GET, PUT"), Some("content-type"), None),
            (&strict, "DELETE", ORIGIN.to_owned(), None, None, None),
            (
                &strict,
                "PUT",
                format!("{ORIGIN}access-control-request-private-network\0true\n"),
                Some("GET, PUT"),
                Some("content-type"),
                Some("true"),
            ),
            (
                &cors(),
                "PUT",
                format!("{ORIGIN}access-control-request-private-network\0true\n"),
                Some("PUT"),
                None,
                None,
            ),
        ] {
            let response: Response<()> = cors.preflight(&Headers::from_block(block.clone().into_bytes()), method);
            let told = |name| response.headers.text(name);
            assert_eq!(response.status, 204);
            assert_eq!(told("vary"), Some(VARY));
            assert_eq!(told("access-control-allow-methods"), methods, "{method} {block}");
            assert_eq!(told("access-control-allow-headers"), fields, "{method} {block}");
            assert_eq!(told("access-control-allow-private-network"), network, "{method} {block}");
            let permitted = methods.map(|_| "https://app.example");
            assert_eq!(told("access-control-allow-origin"), permitted, "{method} {block}");
            assert_eq!(told("access-control-allow-credentials"), permitted.map(|_| "true"));
        }
    }
}
