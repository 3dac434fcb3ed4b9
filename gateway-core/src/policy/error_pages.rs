//! Gives refusals and failures bodies of one's own, in the kind that the client asks for.

use super::Departure;
use crate::http::{Body, Statuses};
use crate::json::{self, Json, Limits};
use crate::platform::Platform;
use crate::pump;
use crate::shape::value::Document;
use crate::shape::{Blueprint, Value};
use crate::template::Template;
use crate::template::function::html;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bodies by status; the first that fits counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorPages {
    /// Each with its statuses.
    pub pages: Vec<Page>,
    /// Whether an upstream's own answers get them too.
    #[serde(default)]
    pub upstream: bool,
}

/// A body in several kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// For which statuses; none: for all from 400 on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Statuses>,
    /// As JSON, with its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<(String, Blueprint)>,
    /// As HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<Template>,
    /// As text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Template>,
}

impl ErrorPages {
    /// Puts a page in the place of what would be sent.
    pub fn on_response<P: Platform>(&self, departure: &mut Departure<'_, P>) {
        let Departure { platform, response, scope, from_upstream, memo, .. } = departure;
        let status = response.status;
        // Fixed answers and redirects are what somebody wrote; what the gateway says by itself is a problem.
        let is_problem = response.headers.text("content-type") == Some("application/problem+json");
        if status < 400 || if *from_upstream { !self.upstream } else { !is_problem } {
            return;
        }
        let fits =
            |page: &&Page| page.statuses.is_empty() || page.statuses.iter().any(|statuses| statuses.contain(status));
        let Some(page) = self.pages.iter().find(fits) else { return };
        let Some(kind) = page.choose(&memo.accept, *from_upstream) else {
            // Caches must know that others get something else.
            response.headers.append("vary", "accept");
            return;
        };
        let own = match &response.body {
            Body::Bytes(bytes) if !*from_upstream => bytes.clone(),
            _ => Bytes::new(),
        };
        let text = std::str::from_utf8(&own).unwrap_or_default();
        let parts = json::read(text, &Limits::USUAL).unwrap_or_default();
        let problem = if parts.is_empty() { of_status(status) } else { Value::new(Json::new(text, &parts)) };
        let document = Document("problem", &problem);
        let scope = scope.with_response(status, &response.headers).with_documents(&document);
        let (media_type, body) = match kind {
            Kind::Json((media_type, blueprint)) => {
                let mut body = Vec::new();
                blueprint.build(&scope).unwrap_or(Value::NULL).write(&mut body);
                (media_type.as_str(), body)
            }
            Kind::Html(template) => ("text/html; charset=utf-8", template.render_with(&scope, html).into_bytes()),
            Kind::Text(template) => ("text/plain; charset=utf-8", template.render(&scope).into_bytes()),
        };
        if !*from_upstream {
            platform.watch().translated();
        }
        pump::discard(*platform, std::mem::replace(&mut response.body, Body::Empty));
        let headers = &mut response.headers;
        headers.forget_body();
        headers.set("content-type", media_type);
        headers.set("content-length", body.len().to_string());
        headers.append("vary", "accept");
        response.body = Body::Bytes(body.into());
    }
}

/// What an answer says of itself by its status alone.
fn of_status(status: u16) -> Value<'static> {
    let title = match status {
        400 => "Bad request",
        401 => "Unauthenticated",
        403 => "Forbidden",
        404 => "Not found",
        405 => "Method not allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Body too large",
        415 => "Unsupported media type",
        422 => "Invalid content",
        429 => "Too many requests",
        500 => "Internal error",
        502 => "Bad gateway",
        503 => "Unavailable",
        504 => "Timeout",
        501 | 505.. => "Server error",
        _ => "Request refused",
    };
    Value::Object(vec![
        ("title".into(), Value::Text(title.into())),
        ("status".into(), Value::Raw(status.to_string().into())),
    ])
}

enum Kind<'a> {
    Json(&'a (String, Blueprint)),
    Html(&'a Template),
    Text(&'a Template),
}

impl Page {
    /// The kind that the client likes best; of those that it likes the same, the first. `None`: the problem as it is, which a
    /// client gets that asks for it, and one that can read nothing of what there is.
    fn choose(&self, accept: &str, from_upstream: bool) -> Option<Kind<'_>> {
        let json = self.json.as_ref().map(|json| (json.0.as_str(), Kind::Json(json)));
        let html = self.html.as_ref().map(|html| ("text/html", Kind::Html(html)));
        let text = self.text.as_ref().map(|text| ("text/plain", Kind::Text(text)));
        if accept.is_empty() {
            return json.or(html).or(text).map(|(_, kind)| kind);
        }
        let ranges: Vec<(&str, u16)> = accept.split(',').map(|range| weighed(range.trim())).collect();
        let problem = quality(&ranges, "application/problem+json", true);
        let kinds = [json, html, text].into_iter().flatten();
        let mut best: Option<(u16, Kind<'_>)> = None;
        for (media_type, kind) in kinds {
            let quality = quality(&ranges, media_type, false);
            if quality > 0 && best.as_ref().is_none_or(|(before, _)| quality > *before) {
                best = Some((quality, kind));
            }
        }
        // Whoever names problem details gets them, unless something else is liked better.
        best.filter(|(quality, _)| from_upstream || problem < *quality || problem == 0).map(|(_, kind)| kind)
    }
}

/// The place of the kind that a client likes best, the first of those that it likes the same. `None` where it likes none.
#[cfg(feature = "validation")]
pub(super) fn preferred<'k>(request: &crate::http::Headers, kinds: impl Iterator<Item = &'k str>) -> Option<usize> {
    let accept: Vec<&str> = crate::http::list(request, "accept").collect();
    let ranges: Vec<(&str, u16)> = accept.iter().map(|range| weighed(range)).collect();
    if ranges.is_empty() {
        return Some(0);
    }
    let liked = kinds.map(|kind| quality(&ranges, kind, false)).enumerate().filter(|(_, quality)| *quality > 0);
    liked.max_by_key(|(place, quality)| (*quality, usize::MAX - place)).map(|(place, _)| place)
}

/// A range with its weight, in thousandths (RFC 9110 §12.4.2).
fn weighed(range: &str) -> (&str, u16) {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|parameter| parameter.strip_prefix("q=").or(parameter.strip_prefix("Q=")));
    let weight = weight.and_then(|weight| weight.parse::<f32>().ok()).unwrap_or(1.0).clamp(0.0, 1.0);
    (name, (weight * 1000.0) as u16)
}

/// How much a kind is liked: as the most specific range says that it is of (RFC 9110 §12.5.1).
fn quality(ranges: &[(&str, u16)], media_type: &str, by_name: bool) -> u16 {
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let group = media_type.split_once('/').map_or("", |(group, _)| group);
    let of = |wanted: &dyn Fn(&str) -> bool| ranges.iter().find(|(range, _)| wanted(range)).map(|(_, weight)| *weight);
    let exact = of(&|range| range.eq_ignore_ascii_case(media_type));
    if by_name {
        return exact.unwrap_or(0);
    }
    let in_group = || of(&|range| range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(group)));
    exact.or_else(in_group).or_else(|| of(&|range| range == "*/*")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_one_that_the_client_likes_best() {
        let page = Page {
            json: Some(("application/json".into(), Blueprint::Raw("1".into()))),
            html: Some(Template::literal("h")),
            ..Page::default()
        };
        for (accept, expected) in [
            ("", "json"),
            ("*/*", "json"),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
            ("application/json", "json"),
            ("text/*;q=0.5, application/json;q=0.4", "html"),
            ("application/problem+json", "problem"),
            ("application/problem+json, application/json", "problem"),
            ("application/problem+json;q=0.5, application/json", "json"),
            ("image/png", "problem"),
            ("text/html;q=0, */*", "json"),
            ("text/html;q=nonsense", "html"),
        ] {
            let chosen = match page.choose(accept, false) {
                Some(Kind::Json(_)) => "json",
                Some(Kind::Html(_)) => "html",
                Some(Kind::Text(_)) => "text",
                None => "problem",
            };
            assert_eq!(chosen, expected, "{accept}");
        }
    }
}
