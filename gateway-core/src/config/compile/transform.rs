//! What changes messages: from what was written to what runs.

use super::super::{
    format,
    node::{
        Node,
        Step::{Field, Item},
        Value,
    },
    problem::{Problem, Span},
    written,
};
use super::{RouteCompiler, Seen, validation::MOST_BYTES};
use crate::{
    http::{Statuses, percent_encode},
    policy::{
        Deprecation, ErrorPages, Links, Maintenance, Transform,
        error_pages::Page,
        transform::{CookieEdits, NewCookie, PairEdits, RequestChanges, ResponseChanges, SameSite, is_cookie_octet},
    },
    route::{Matcher, Regex},
    shape::{
        Blueprint, Edit, Path, Rules, Step,
        query::Query,
        rules::{Format, Framing, Invalid, Others, Steps},
    },
    template::{Collection, Piece, Template, Variable},
};

pub(super) const BODY: &str = "body";
pub(super) const STEPS: &str = "steps";
pub(super) const EACH: &str = "each";
const PROBLEM: &str = "problem";

impl RouteCompiler<'_, '_> {
    /// What a template says must be there where it is filled in.
    pub(super) fn seen(&mut self, template: &Template, at: Span, seen: Seen) {
        for piece in template.pieces() {
            self.knows_caller(piece, at, seen.response);
            let name = |piece: &Piece| piece.base().to_string();
            let (message, help) = match piece.base() {
                Piece::Variable(Variable::Status) | Piece::Member(Collection::ResponseHeaders, _) if !seen.response => {
                    (
                        format!("`{}` is of the response, and there is none yet", name(piece)),
                        Some("it can be said on the way back only"),
                    )
                }
                Piece::Variable(Variable::Upstream) if self.defined.written.upstream.is_none() => {
                    ("`{upstream.name}` is of routes that forward, and this one does not".to_owned(), None)
                }
                Piece::Variable(variable) if variable.is_of_graphql() => {
                    let place = self.all.part(at, &piece.to_string());
                    self.needs_graphql(&format!("`{}`", name(piece)), place, None);
                    continue;
                }
                Piece::Document(path) if !seen.documents.contains(&path.root()) => {
                    let help = match path.root() {
                        BODY => Some(
                            "parts of a body can be said in `body` of `transform`, in `compose`, and in messages of `graphql` and `soap`",
                        ),
                        STEPS => Some("what steps have answered can be said in `compose` only"),
                        EACH => Some("an item can be said in a step that has `for_each` only"),
                        PROBLEM => Some("parts of a problem can be said in `error_pages` only"),
                        _ => None,
                    };
                    (format!("there is no `{}` here", name(piece)), help)
                }
                _ => continue,
            };
            let place = self.all.part(at, &piece.to_string());
            let problem = Problem::error("unknown-reference", place, message);
            self.all.problems.push(problem.maybe_help(help.map(str::to_owned)));
        }
    }

    /// The groups that a replacement names must be in the expression.
    pub(super) fn groups(&mut self, find: &Regex, replace: &str) {
        let at = self.at([Field("rewrite_regex"), Field("replace")]);
        let named: Vec<&str> = find.groups().collect();
        for name in replaced_groups(replace) {
            let known = match name.parse::<usize>() {
                Ok(number) => number < find.groups_len(),
                Err(_) => named.contains(&name.as_str()),
            };
            if !known {
                let message = format!("the expression has no group `{name}`");
                let problem = Problem::error("unknown-parameter", self.all.part(at, &name), message);
                self.all
                    .problems
                    .push(problem.help("groups have numbers, `$1`, or the names that `(?<name>…)` gives them"));
            }
        }
    }

    pub(super) fn transform(
        &mut self,
        written: &written::TransformPolicy,
        node: &Node,
        paths: &[Matcher],
    ) -> Transform {
        let mut policy = Transform::default();
        if let (Some(request), Some(node)) = (&written.request, node.get("request")) {
            policy.request = RequestChanges {
                method: request
                    .method
                    .iter()
                    .flat_map(|all| &all.0)
                    .map(|(from, to)| (from.0.clone(), to.0.clone()))
                    .collect(),
                query: self.query_edits(request.query.as_ref(), node.get("query"), paths),
                cookies: self.cookie_edits(request.cookies.as_ref(), node.get("cookies"), paths),
                body: request.body.as_ref().and_then(|body| {
                    self.body_rules(body, node.get("body")?, paths, Seen { response: false, documents: &[BODY] })
                }),
            };
        }
        if let (Some(response), Some(node)) = (&written.response, node.get("response")) {
            let statuses = response.status.iter().flat_map(|statuses| &statuses.0);
            policy.response = ResponseChanges {
                status: statuses.map(|(from, to)| (status(*from), to.0)).collect(),
                cookies: self.set_cookie_edits(response.cookies.as_ref(), node.get("cookies"), paths),
                body: response.body.as_ref().and_then(|body| {
                    self.body_rules(body, node.get("body")?, paths, Seen { response: true, documents: &[BODY] })
                }),
            };
        }
        if policy == Transform::default() && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "this policy changes nothing");
            self.all.problems.push(problem.help("say what becomes of a `request` or of a `response`"));
        }
        policy
    }

    fn query_edits(
        &mut self,
        written: Option<&written::QueryEdits>,
        node: Option<&Node>,
        paths: &[Matcher],
    ) -> PairEdits {
        let (Some(written), Some(node)) = (written, node) else { return PairEdits::default() };
        let names = |names: &Option<written::OneOrMany<String>>| names.as_ref().map(|names| names.0.clone());
        let mut values = |field: &str, values: &Option<written::Named<String, written::Template>>| {
            let values = values.iter().flat_map(|values| &values.0).map(|(name, value)| (name.as_str(), value));
            pairs(node, field, values, |text, at| self.text(text, at, paths))
        };
        PairEdits {
            keep: names(&written.keep),
            remove: names(&written.remove).unwrap_or_default(),
            rename: written.rename.iter().flat_map(|renames| renames.0.clone()).collect(),
            replace: values("replace", &written.replace),
            set: values("set", &written.set),
            default: values("default", &written.default),
            append: values("append", &written.append),
        }
    }

    fn cookie_edits(
        &mut self,
        written: Option<&written::CookieEdits>,
        node: Option<&Node>,
        paths: &[Matcher],
    ) -> PairEdits {
        let (Some(written), Some(node)) = (written, node) else { return PairEdits::default() };
        let mut values = |field: &str, values: &Option<written::Named<written::Token, written::Template>>| {
            let values = values.iter().flat_map(|values| &values.0).map(|(name, value)| (name.0.as_str(), value));
            pairs(node, field, values, |text, at| self.value(text, at, paths))
        };
        PairEdits {
            replace: values("replace", &written.replace),
            set: values("set", &written.set),
            default: values("default", &written.default),
            keep: written.keep.as_ref().map(|names| tokens(Some(names))),
            remove: tokens(written.remove.as_ref()),
            rename: renames(written.rename.as_ref()),
            append: values("append", &written.append),
        }
    }

    fn set_cookie_edits(
        &mut self,
        written: Option<&written::SetCookieEdits>,
        node: Option<&Node>,
        paths: &[Matcher],
    ) -> CookieEdits {
        let (Some(written), Some(node)) = (written, node) else { return CookieEdits::default() };
        let mut cookies = |field: &str, cookies: &Option<written::Named<written::Token, written::NewCookie>>| {
            let mut all = Vec::new();
            for (name, cookie) in cookies.iter().flat_map(|cookies| &cookies.0) {
                let Some(node) = node.reach([Field(field), Field(&name.0)]) else { continue };
                all.extend(self.new_cookie(&name.0, cookie, node, paths));
            }
            all
        };
        CookieEdits {
            set: cookies("set", &written.set),
            default: cookies("default", &written.default),
            append: cookies("append", &written.append),
            keep: written.keep.as_ref().map(|names| tokens(Some(names))),
            remove: tokens(written.remove.as_ref()),
            rename: renames(written.rename.as_ref()),
        }
    }

    fn new_cookie(
        &mut self,
        name: &str,
        written: &written::NewCookie,
        node: &Node,
        paths: &[Matcher],
    ) -> Option<NewCookie> {
        let (text, at, whole) = match written {
            written::NewCookie::Value(text) => (text, node.at, None),
            written::NewCookie::Whole(whole) => (&whole.value, node.place([Field("value")]), Some(whole)),
        };
        let value = self.text_in(&text.0, at, paths, Seen::RESPONSE)?;
        let bad = |at: Span, message: String| Problem::error("bad-cookie", at, message);
        let literals = value.pieces().iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            _ => None,
        });
        if let Some(c) = literals.flat_map(|text| text.chars()).find(|c| !is_cookie_octet(*c)) {
            let problem = bad(at, format!("a cookie's value cannot hold {c:?} (RFC 6265 §4.1.1)"));
            self.all.problems.push(problem.help(format!("write `{}`", percent_encode(c.encode_utf8(&mut [0; 4])))));
        }
        let field = |name: &str| node.entry(name).map_or(node.at, |entry| entry.value.at);
        let path = whole.and_then(|whole| whole.path.as_ref()).map_or("/", |path| &path.0);
        if path.contains(|c: char| c == ';' || !c.is_ascii_graphic()) {
            self.all.problems.push(bad(field("path"), "the path of a cookie is plain text without `;`".to_owned()));
        }
        let domain = whole.and_then(|whole| whole.domain.as_ref());
        let is_domain = |domain: &String| {
            let is_label = |label: &str| {
                !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            };
            domain.split('.').all(is_label)
        };
        if let Some(domain) = domain.filter(|domain| !is_domain(domain)) {
            let problem = bad(field("domain"), format!("`{domain}` is no domain"));
            self.all.problems.push(problem.help("write a name, such as `example.com`"));
        }
        let secure = whole.and_then(|whole| whole.secure) != Some(false);
        let same_site = match whole.and_then(|whole| whole.same_site) {
            Some(written::SameSite::Strict) => SameSite::Strict,
            None | Some(written::SameSite::Lax) => SameSite::Lax,
            Some(written::SameSite::None) => SameSite::None,
        };
        // RFC 6265bis §5.7: browsers take none of these.
        let why = if same_site == SameSite::None && !secure {
            Some("a cookie with `same_site: none` must be `secure`")
        } else if name.starts_with("__Secure-") && !secure {
            Some("a cookie whose name begins with `__Secure-` must be `secure`")
        } else if name.starts_with("__Host-") && !(secure && path == "/" && domain.is_none()) {
            Some("a cookie whose name begins with `__Host-` must be `secure`, of the path `/`, and of no `domain`")
        } else {
            None
        };
        if let Some(why) = why {
            let problem = bad(node.head(), why.to_owned());
            self.all.problems.push(problem.help("browsers leave it out; change that, or its name"));
        }
        Some(NewCookie {
            name: name.to_owned(),
            value,
            path: path.to_owned(),
            domain: domain.cloned(),
            seconds: whole.and_then(|whole| whole.max_age).map(|age| age.seconds),
            secure,
            http_only: whole.and_then(|whole| whole.http_only) != Some(false),
            same_site,
        })
    }

    fn body_rules(
        &mut self,
        written: &written::BodyTransform,
        node: &Node,
        paths: &[Matcher],
        seen: Seen,
    ) -> Option<Rules> {
        self.all.features.extend(["validation", "regex", "shaping"]);
        let from = match written.from {
            None | Some(written::BodyFormat::Json) => Format::Json,
            Some(written::BodyFormat::Xml) => Format::Xml,
            Some(written::BodyFormat::Form) => Format::Form,
            Some(written::BodyFormat::Multipart) => Format::Multipart,
            Some(written::BodyFormat::Csv) => Format::Csv,
        };
        let to = match written.to {
            None | Some(written::NewFormat::Json) => Format::Json,
            Some(written::NewFormat::Xml) => Format::Xml,
        };
        let framing = match written.stream {
            None => Framing::Whole,
            Some(written::StreamKind::Lines) => Framing::Lines,
            Some(written::StreamKind::Events) => Framing::Events,
        };
        if (from, to) != (Format::Json, Format::Json) {
            self.all.features.insert("formats");
            if let (Some(stream), Some(format)) = (node.entry("stream"), node.entry("from").or(node.entry("to"))) {
                let message = "the items of a stream are JSON, before and after";
                let problem = Problem::error("conflicting-fields", stream.name_at, message);
                self.all
                    .problems
                    .push(problem.related(format.name_at, "another format is here").help("keep one of them"));
            }
        }
        if framing == Framing::Whole
            && let Some(invalid) = node.entry("invalid")
        {
            let problem = Problem::error("needs-stream", invalid.name_at, "`invalid` is about the items of a `stream`");
            self.all.problems.push(problem.help("what is invalid as a whole is always refused; remove it"));
        }
        if !seen.response
            && let Some(statuses) = node.entry("statuses")
        {
            let problem = Problem::error("unknown-field", statuses.name_at, "requests have no status");
            self.all.problems.push(problem.help("remove it"));
        }
        let usual: &[&str] = match (from, framing) {
            (_, Framing::Lines) => &LINES,
            (_, Framing::Events) => &["text/event-stream"],
            (Format::Json, Framing::Whole) => &["application/json", "application/*+json"],
            (Format::Xml, Framing::Whole) => &["application/xml", "text/xml", "application/*+xml"],
            (Format::Form, Framing::Whole) => &["application/x-www-form-urlencoded"],
            (Format::Multipart, Framing::Whole) => &["multipart/form-data"],
            (Format::Csv, Framing::Whole) => &["text/csv"],
        };
        let kinds = match &written.content_types {
            None => usual.iter().map(|kind| (*kind).to_owned()).collect(),
            Some(kinds) => kinds.0.iter().map(|kind| kind.0.to_ascii_lowercase()).collect(),
        };
        let statuses = match &written.statuses {
            None => vec![Statuses::Class(2)],
            Some(statuses) => statuses.0.iter().map(|statuses| status(*statuses)).collect(),
        };
        let query = written.query.as_ref().and_then(|query| Query::parse(&query.0).ok());
        if query.is_some() {
            self.all.features.insert("queries");
        }
        let template = node.get("template").and_then(|template| self.blueprint(template, paths, seen));
        let mut edits = Vec::new();
        for (index, edit) in written.edit.iter().flatten().enumerate() {
            let Some(node) = node.reach([Field("edit"), Item(index)]) else { continue };
            edits.extend(self.body_edit(edit, node, paths, seen));
        }
        let steps = Steps { query, template, edits };
        if steps == Steps::default() && from == to && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "nothing becomes of this body");
            self.all
                .problems
                .push(problem.help("write `edit`, `template`, `query`, or another format in `from` or `to`"));
        }
        Some(Rules {
            kinds,
            others: match written.others {
                None | Some(written::OtherBodies::Pass) => Others::Pass,
                Some(written::OtherBodies::Refuse) => Others::Refuse,
            },
            statuses: if seen.response { statuses } else { Vec::new() },
            limit: written.limit.map_or(MOST_BYTES, |size| size.bytes),
            from,
            to,
            framing,
            invalid: match written.invalid {
                None | Some(written::InvalidItem::Fail) => Invalid::Fail,
                Some(written::InvalidItem::Drop) => Invalid::Drop,
                Some(written::InvalidItem::Pass) => Invalid::Pass,
            },
            steps,
        })
    }

    fn body_edit(&mut self, written: &written::BodyEdit, node: &Node, paths: &[Matcher], seen: Seen) -> Option<Edit> {
        let inner = &node.entries().first()?.value;
        let all = |paths: &written::OneOrMany<written::JsonPath>| {
            paths.0.iter().filter_map(|path| Path::parse(&path.0)).collect::<Vec<_>>()
        };
        Some(match written {
            written::BodyEdit::Remove(paths) => Edit::Remove(all(paths)),
            written::BodyEdit::Pick(paths) => Edit::Pick(all(paths)),
            written::BodyEdit::Rename(renames) => {
                let mut edits = Vec::new();
                for (path, name) in &renames.0 {
                    let Some(parsed) = Path::parse(&path.0) else { continue };
                    if parsed.steps().last() == Some(&Step::Every) {
                        let at = inner.entry(&path.0).map_or(inner.at, |entry| entry.name_at);
                        let problem = Problem::error("bad-json-path", at, "all members cannot have the same name");
                        self.all.problems.push(problem.help("name the member at the end of the path"));
                        continue;
                    }
                    edits.push((parsed, name.clone()));
                }
                Edit::Rename(edits)
            }
            written::BodyEdit::Move(moves) => {
                let mut edits = Vec::new();
                for (from, to) in &moves.0 {
                    let (Some(source), Some(target)) = (Path::parse(&from.0), Path::parse(&to.0)) else { continue };
                    let at = inner.entry(&from.0).map_or(inner.at, |entry| entry.name_at);
                    if source.is_wild() || target.is_wild() {
                        let problem =
                            Problem::error("bad-json-path", at, "one value goes to one place, so there is no `*`");
                        self.all.problems.push(problem.help("`rename` gives members of many items another name"));
                    } else if target.is_within(&source) {
                        let message = "a value cannot go into itself";
                        self.all.problems.push(Problem::error("bad-json-path", at, message));
                    }
                    edits.push((source, target));
                }
                Edit::Move(edits)
            }
            written::BodyEdit::Set(_) => Edit::Set(self.values(inner, paths, seen)),
            written::BodyEdit::Replace(_) => Edit::Replace(self.values(inner, paths, seen)),
            written::BodyEdit::Default(_) => Edit::Default(self.values(inner, paths, seen)),
        })
    }

    fn values(&mut self, node: &Node, paths: &[Matcher], seen: Seen) -> Vec<(Path, Blueprint)> {
        let mut values = Vec::new();
        for entry in node.entries() {
            match Path::parse(&entry.name) {
                Some(path) => {
                    values.extend(self.blueprint(&entry.value, paths, seen).map(|value| (path, value)));
                }
                None => {
                    let wrong = format::json_path(&entry.name).err();
                    let message = wrong.map_or_else(String::new, |wrong| wrong.message);
                    let problem = Problem::error("bad-json-path", entry.name_at, message);
                    self.all.problems.push(problem.help("write steps with dots between, such as `user.name`"));
                }
            }
        }
        values
    }

    /// Any value whose texts are templates.
    pub(super) fn blueprint(&mut self, node: &Node, paths: &[Matcher], seen: Seen) -> Option<Blueprint> {
        Some(match &node.value {
            Value::Null => Blueprint::Raw("null".to_owned()),
            Value::Bool(value) => Blueprint::Raw(value.to_string()),
            Value::Integer(number) => Blueprint::Raw(number.to_string()),
            Value::Float(number) if number.is_finite() => Blueprint::Raw(serde_json::Value::from(*number).to_string()),
            Value::Float(number) => {
                let problem = Problem::error("bad-value", node.at, format!("JSON has no number {number}"));
                self.all.problems.push(problem);
                return None;
            }
            Value::Text(text) => match Template::parse(text) {
                Ok(_) => Blueprint::Text(self.text_in(text, node.at, paths, seen)?),
                // Nobody has looked at these texts before.
                Err(error) => {
                    let at = self.all.part(node.at, &text[error.at..(error.at + error.length).min(text.len())]);
                    self.all.problems.push(Problem::error("bad-template", at, error.message));
                    return None;
                }
            },
            Value::List(items) => {
                let items = items.iter().map(|item| self.blueprint(item, paths, seen)).collect::<Vec<_>>();
                Blueprint::List(items.into_iter().flatten().collect())
            }
            Value::Map(entries) => {
                let mut members = Vec::new();
                for entry in entries {
                    members.extend(self.blueprint(&entry.value, paths, seen).map(|value| (entry.name.clone(), value)));
                }
                Blueprint::Object(members)
            }
        })
    }

    pub(super) fn links(&mut self, written: &written::LinksPolicy, node: &Node, paths: &[Matcher]) -> Links {
        let mut prefixes = |field: &str, named: &Option<written::Named<String, written::Template>>| {
            let mut all = Vec::new();
            for (from, to) in named.iter().flat_map(|named| &named.0) {
                let Some(entry) = node.get(field).and_then(|node| node.entry(from)) else { continue };
                if from.is_empty() {
                    let problem = Problem::error("empty-text", entry.name_at, "everything begins with nothing");
                    self.all.problems.push(problem.help("write an address or a path"));
                }
                all.extend(self.value_in(&to.0, entry.value.at, paths, Seen::RESPONSE).map(|to| (from.clone(), to)));
            }
            all
        };
        let replace = prefixes("replace", &written.replace);
        let cookie_domains = prefixes("cookie_domains", &written.cookie_domains);
        let cookie_domains =
            cookie_domains.into_iter().map(|(from, to)| (from.trim_start_matches('.').to_owned(), to)).collect();
        let cookie_paths = prefixes("cookie_paths", &written.cookie_paths);
        let fields = match &written.fields {
            None => vec!["location".to_owned(), "content-location".to_owned()],
            Some(names) => self.header_names(Some(names), node, "fields"),
        };
        let json: Vec<Path> =
            written.json.iter().flat_map(|paths| &paths.0).filter_map(|path| Path::parse(&path.0)).collect();
        let body = (!json.is_empty()).then(|| {
            self.all.features.extend(["validation", "regex", "shaping"]);
            Rules {
                kinds: vec!["application/json".to_owned(), "application/*+json".to_owned()],
                others: Others::Pass,
                statuses: vec![Statuses::Class(2)],
                limit: written.limit.map_or(MOST_BYTES, |size| size.bytes),
                from: Format::Json,
                to: Format::Json,
                framing: Framing::Whole,
                invalid: Invalid::Fail,
                steps: Steps { edits: vec![Edit::Links(json, replace.clone())], ..Steps::default() },
            }
        });
        let policy = Links { replace, fields, cookie_domains, cookie_paths, body };
        if policy.replace.is_empty() && !node.damaged {
            if policy.cookie_domains.is_empty() && policy.cookie_paths.is_empty() {
                let problem = Problem::error("empty-policy", node.head(), "this policy changes nothing");
                self.all.problems.push(problem.help("say what addresses begin with in `replace`"));
            } else if let Some(entry) = node.entry("json").or(node.entry("fields")) {
                let problem = Problem::error("missing-field", entry.name_at, "nothing becomes of these addresses");
                self.all.problems.push(problem.help("say what they begin with in `replace`"));
            }
        }
        policy
    }

    pub(super) fn error_pages(
        &mut self,
        written: &written::ErrorPagesPolicy,
        node: &Node,
        paths: &[Matcher],
    ) -> ErrorPages {
        const SEEN: Seen = Seen { response: true, documents: &[PROBLEM] };
        let mut pages = Vec::new();
        for (index, page) in written.pages.0.iter().enumerate() {
            let Some(node) = node.reach([Field("pages"), Item(index)]) else { continue };
            let media_type = page.json_type.as_ref().map_or("application/json", |media_type| &media_type.0).to_owned();
            if let Some(entry) = node.entry("json_type").filter(|_| media_type.contains('*')) {
                let problem = Problem::error("bad-media-type", entry.value.at, "an answer is of one type");
                self.all.problems.push(problem.help("write it without `*`"));
            }
            let json = node.get("json").and_then(|json| self.blueprint(json, paths, SEEN));
            let mut text = |field: &str, text: &Option<written::Template>| {
                text.as_ref().and_then(|text| self.text_in(&text.0, node.place([Field(field)]), paths, SEEN))
            };
            let (html, text) = (text("html", &page.html), text("text", &page.text));
            let page = Page {
                statuses: page.status.iter().flat_map(|all| &all.0).map(|statuses| status(*statuses)).collect(),
                json: json.map(|json| (media_type, json)),
                html,
                text,
            };
            if page.json.is_none() && page.html.is_none() && page.text.is_none() && !node.damaged {
                let problem = Problem::error("empty-policy", node.head(), "this page says nothing");
                self.all.problems.push(problem.help("write `json`, `html` or `text`"));
            }
            pages.push(page);
        }
        ErrorPages { pages, upstream: written.upstream.unwrap_or(false) }
    }

    pub(super) fn maintenance(&mut self, written: &written::MaintenancePolicy, node: &Node) -> Maintenance {
        if let (Some(from), Some(until)) = (&written.from, &written.until)
            && from.milliseconds >= until.milliseconds
        {
            let problem =
                Problem::error("conflicting-fields", node.place([Field("until")]), "it is over before it begins");
            self.all.problems.push(problem);
        }
        Maintenance {
            active: written
                .active
                .as_ref()
                .and_then(|active| self.all.constant(&active.0, node.place([Field("active")]))),
            from: written.from.map(|moment| moment.milliseconds),
            until: written.until.map(|moment| moment.milliseconds),
            retry_after: written.retry_after.map(|time| time.milliseconds.div_ceil(1_000)),
            allow: self.all.ranges(written.allow.as_ref(), node.get("allow")),
        }
    }

    pub(super) fn deprecation(&mut self, written: &written::DeprecationPolicy, node: &Node) -> Deprecation {
        let policy = Deprecation {
            since: written.since.map(|moment| moment.milliseconds),
            sunset: written.sunset.map(|moment| moment.milliseconds),
            about: written.about.clone(),
            successor: written.successor.clone(),
            refuses: written.after_sunset == Some(written::OtherBodies::Refuse),
        };
        if policy.since.is_none() && policy.sunset.is_none() && !node.damaged {
            let problem = Problem::error("empty-policy", node.head(), "this policy does not say when");
            self.all.problems.push(problem.help("write `since` or `sunset`"));
        }
        if policy.refuses && policy.sunset.is_none() {
            let at = node.place([Field("after_sunset")]);
            let problem = Problem::error("missing-field", at, "nobody knows when that is");
            self.all.problems.push(problem.help("write `sunset`"));
        }
        for (field, address) in [("about", &policy.about), ("successor", &policy.successor)] {
            let is_bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"');
            if address.as_deref().is_some_and(|address| address.contains(is_bad)) {
                let message = "an address has neither spaces nor quotes nor angle brackets";
                self.all.problems.push(Problem::error("bad-url", node.place([Field(field)]), message));
            }
        }
        policy
    }
}

/// What streams of JSON lines are called.
const LINES: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/jsonlines",
    "application/json-lines",
];

pub(super) fn status(written: written::AnswerStatus) -> Statuses {
    match written {
        written::AnswerStatus::One(status) => Statuses::One(status),
        written::AnswerStatus::Class(digit) => Statuses::Class(digit),
    }
}

/// What is written under names, where it can be read.
fn pairs<'w>(
    node: &Node,
    field: &str,
    values: impl Iterator<Item = (&'w str, &'w written::Template)>,
    mut read: impl FnMut(&str, Span) -> Option<Template>,
) -> Vec<(String, Template)> {
    let read = values.filter_map(|(name, value)| {
        let at = node.place([Field(field), Field(name)]);
        read(&value.0, at).map(|value| (name.to_owned(), value))
    });
    read.collect()
}

fn tokens(written: Option<&written::OneOrMany<written::Token>>) -> Vec<String> {
    written.iter().flat_map(|names| &names.0).map(|name| name.0.clone()).collect()
}

fn renames(written: Option<&written::Named<written::Token, written::Token>>) -> Vec<(String, String)> {
    written.iter().flat_map(|names| &names.0).map(|(from, to)| (from.0.clone(), to.0.clone())).collect()
}

/// The groups that a replacement names, as `regex` reads it.
fn replaced_groups(replace: &str) -> Vec<String> {
    let mut groups = Vec::new();
    let mut rest = replace;
    while let Some(at) = rest.find('$') {
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            rest = behind;
        } else if let Some((name, behind)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            groups.push(name.to_owned());
            rest = behind;
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            if end > 0 {
                groups.push(rest[..end].to_owned());
            }
        }
    }
    groups
}
