//! Tools: from the operations of OpenAPI documents, and of what is written of gRPC services, to what runs.

use super::super::{
    documents::described,
    node::{
        Entry, Node,
        Step::{Field, Item},
        Value,
    },
    problem::{Problem, Span},
    schemas::{Draft, Reading, Way},
    suggest::closest,
    written,
};
use super::{RouteCompiler, list_some, may_begin, mock::plain, openapi::METHODS, tool_schema::ToolSchema};
use crate::{
    gateway::{Action, Plan},
    mcp::{Argument, BodyArgument, Mcp, Output, ProtectedResource, Tool},
    path,
    policy::{Policy, openapi::Segment, origin::OriginRule},
    route::{Conditions, Host, Matcher, Pattern, Route, rank::Ranked},
    validation::{
        content::{FORM, is_json},
        parameter::Place,
    },
};
use serde_json::{Map, Value as Json, json};

/// The methods in HTTP that are tools.
const CALLED: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// How long a tool's name may be.
const LONGEST_NAME: usize = 128;

/// One source of tools.
struct Source<'a, 'w> {
    written: &'w written::McpTools,
    node: &'a Node,
    root: &'a Node,
    reading: Reading,
    base: String,
    /// The fields that every request has.
    headers: Vec<(String, String)>,
    /// Where it is named, if nobody can look at the document.
    named: Option<Span>,
}

impl<'a> RouteCompiler<'_, 'a> {
    pub(super) fn mcp(&mut self, written: &written::Mcp) -> Option<Mcp> {
        let defined: &'a _ = self.defined;
        let node = defined.node.get("mcp")?;
        self.all.features.extend(["mcp", "json_rpc", "shaping", "validation", "regex"]);
        let before = self.all.problems.len();
        let mut tools: Vec<(Tool, Span)> = Vec::new();
        let sources = node.get("tools").map(Node::items).unwrap_or_default();
        for (written, node) in written.tools.0.iter().zip(sources) {
            if let Some(source) = self.tool_source(written, node) {
                self.tools_of(&source, &mut tools);
            }
        }
        if tools.is_empty() && !node.damaged && !self.all.problems.iter().skip(before).any(Problem::is_error) {
            let at = node.entry("tools").map_or(node.head(), |entry| entry.name_at);
            let problem = Problem::error("no-tools", at, "no operation is a tool here");
            self.all.problems.push(problem.help("look at `operations`, `tags` and `methods`, which choose among them"));
        }
        let name = written.name.clone().unwrap_or_else(|| defined.name.clone());
        Some(Mcp {
            name,
            title: written.title.clone(),
            version: written.version.clone().unwrap_or_else(|| "1".to_owned()),
            instructions: written.instructions.clone(),
            tools: tools.into_iter().map(|(tool, _)| tool).collect(),
            page: written.page_size.unwrap_or(100) as usize,
            request_bytes: written.max_request.map_or(1 << 20, |size| size.bytes),
            answer_bytes: written.max_answer.map_or(1 << 20, |size| size.bytes),
            origins: match &written.origins {
                Some(origins) => self.origins(origins, node.get("origins")),
                None => self.own_origins(),
            },
            host: written.host.as_ref().map(|host| host.0.to_ascii_lowercase()),
            resource: written.authorization.as_ref().and_then(|authorization| self.resource(authorization, node)),
        })
    }

    /// The origins of the hosts that the route itself names.
    fn own_origins(&self) -> Vec<OriginRule> {
        let hosts = super::hosts(self.defined.written.host.as_ref());
        let exact = hosts.into_iter().filter_map(|host| match host {
            Host::Exact(host) => Some(host),
            _ => None,
        });
        exact.flat_map(|host| ["http", "https"].map(|scheme| OriginRule::Exact(format!("{scheme}://{host}")))).collect()
    }

    fn resource(&mut self, written: &written::McpAuthorization, node: &Node) -> Option<ProtectedResource> {
        let node = node.get("authorization")?;
        let path = match &self.defined.written.path {
            Some(paths) if paths.0.len() == 1 && !paths.0[0].0.contains(['{', '*']) => paths.0[0].0.clone(),
            _ => {
                let message = "the metadata of this route needs one path without parameters";
                let problem = Problem::error("bad-authorization", node.head(), message);
                self.all.problems.push(problem.help("write `path: /mcp` in the route"));
                return None;
            }
        };
        let mut servers = Vec::new();
        for (index, server) in written.servers.0.iter().enumerate() {
            servers.extend(self.told_address(server, node.place([Field("servers"), Item(index)])));
        }
        let resource = match &written.resource {
            Some(resource) => Some(self.told_address(resource, node.place([Field("resource")]))?),
            None => None,
        };
        let is_asked = self.defined.node.get("policies").map(Node::items).unwrap_or_default();
        if !is_asked.iter().any(|policy| ["authenticate", "forward_auth"].iter().any(|kind| policy.get(kind).is_some()))
        {
            let message = "it is told where tokens are to be had, and nobody asks for one";
            let problem = Problem::warning("unauthenticated-tools", node.head(), message);
            self.all.problems.push(problem.help("add `authenticate` to the policies of this route"));
        }
        let scopes = written.scopes.iter().flat_map(|scopes| &scopes.0).map(|scope| scope.0.clone()).collect();
        Some(ProtectedResource { resource, path, servers, scopes, name: written.name.clone() })
    }

    /// An address that clients are told: nothing that only the platform knows.
    fn told_address(&mut self, address: &written::Address, at: Span) -> Option<String> {
        if address.0.contains("${") {
            let problem = Problem::error("bad-authorization", at, "clients are told this address, so it stands here");
            self.all.problems.push(problem.help("write it out"));
            return None;
        }
        Some(address.0.clone())
    }

    /// The route on which the metadata stands (RFC 9728 §3.1): before the path of the route that they are of.
    pub(super) fn metadata_route(&mut self, mcp: &Mcp, hosts: &[Host], policies: &[Policy]) {
        let Some(resource) = &mcp.resource else { return };
        let path = format!("{}{}", ProtectedResource::WELL_KNOWN, resource.path.trim_end_matches('/'));
        let Ok(pattern) = Pattern::parse(&path) else { return };
        let list: Vec<Policy> =
            policies.iter().filter(|policy| matches!(policy, Policy::SecurityHeaders(_))).cloned().collect();
        let policies = self.all.intern(list);
        let route = Route {
            name: format!("{}:metadata", self.defined.name),
            paths: vec![Matcher::Path(pattern)],
            conditions: Conditions { methods: vec!["GET".to_owned()], ..Conditions::default() },
            then: Plan {
                policies,
                body_limit: self.all.limits.body,
                limits: None,
                action: Action::ProtectedResource(Box::new(resource.clone())),
            },
        };
        let hosts = if hosts.is_empty() { vec![Host::Any] } else { hosts.to_vec() };
        let priority = self.defined.written.priority.unwrap_or(0);
        self.all.accompanying.push(Ranked { priority, hosts, route });
    }

    fn tool_source<'w>(&mut self, written: &'w written::McpTools, node: &'a Node) -> Option<Source<'a, 'w>> {
        match (node.entry("openapi"), node.entry("grpc")) {
            (Some(openapi), Some(grpc)) => {
                self.both(openapi.name_at, "openapi", grpc.name_at, "grpc");
                None
            }
            (Some(openapi), None) => {
                let named = &openapi.value;
                let root = self.document(named)?;
                let draft = self.version(root, named)?;
                let reading = Reading { draft, formats: false, way: Way::Request };
                self.all.schemas.document(root, reading, self.all.problems);
                let base = match &written.base_path {
                    Some(base) => base.0.trim_end_matches('/').to_owned(),
                    None => self.server(root),
                };
                let base = path::normalise(&base).map_or(base.clone(), std::borrow::Cow::into_owned);
                Some(Source { written, node, root, reading, base, headers: Vec::new(), named: None })
            }
            (None, Some(grpc)) => self.services_source(written, node, &grpc.value),
            (None, None) => {
                if !node.damaged {
                    let problem = Problem::error("no-tools", node.head(), "nothing says which tools there are");
                    self.all.problems.push(problem.help("name `openapi` or `grpc`"));
                }
                None
            }
        }
    }

    fn services_source<'w>(
        &mut self,
        written: &'w written::McpTools,
        node: &'a Node,
        named: &'a Node,
    ) -> Option<Source<'a, 'w>> {
        let name = named.text()?;
        let routes = &self.all.loaded.routes;
        let Some(route) = routes.iter().find(|route| route.name == name) else {
            let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
            let help = match closest(name, names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("there are {}", list_some(&names)),
            };
            let problem = Problem::error("unknown-route", named.at, format!("there is no route called `{name}`"));
            self.all.problems.push(problem.help(help));
            return None;
        };
        if route.written.grpc.is_none() {
            let problem = Problem::error("unknown-route", named.at, format!("the route `{name}` has no `grpc`"));
            self.all.problems.push(problem.related(route.name_at, "it is here").help("name one that calls services"));
            return None;
        }
        let clients = route.written.grpc.as_ref().and_then(|grpc| grpc.clients.as_ref());
        if clients.is_some_and(|clients| !clients.0.contains(&written::GrpcClient::Connect)) {
            let message = format!("the route `{name}` takes no clients of Connect, so its tools can only fail");
            let problem = Problem::warning("unrouted-tool", named.at, message);
            let at =
                route.node.get("grpc").and_then(|grpc| grpc.entry("clients")).map_or(route.name_at, |at| at.name_at);
            self.all.problems.push(problem.related(at, "these are taken").help("name `connect` in its `clients`"));
        }
        // What is wrong with its descriptors has been told.
        let root = self.all.loaded.documents.get(&described(name))?.root.as_ref()?;
        let reading = Reading { draft: Draft::Draft202012, formats: false, way: Way::Any };
        self.all.schemas.document(root, reading, self.all.problems);
        let strip = route.written.strip_prefix.as_ref().and_then(|prefixes| prefixes.0.first());
        let strip = strip.map(|prefix| prefix.0.as_str());
        let base = written.base_path.as_ref().map(|base| base.0.as_str()).or(strip).unwrap_or_default();
        // As clients of Connect do, who have a path for each method and JSON in both directions.
        let headers = vec![("connect-protocol-version".to_owned(), "1".to_owned())];
        let base = base.trim_end_matches('/').to_owned();
        Some(Source { written, node, root, reading, base, headers, named: Some(named.at) })
    }

    fn tools_of(&mut self, source: &Source<'a, '_>, tools: &mut Vec<(Tool, Span)>) {
        let mut known: Vec<&str> = Vec::new();
        for entry in source.root.get("paths").map(Node::entries).unwrap_or_default() {
            if entry.name.starts_with("x-") {
                continue;
            }
            let Some(segments) = self.segments(entry) else { continue };
            let Some(item) = self.follow(&entry.value, source.reading) else { continue };
            for operation in item.entries().iter().filter(|entry| METHODS.contains(&entry.name.as_str())) {
                let id = operation.value.get("operationId").and_then(Node::text);
                known.extend(id);
                if !self.is_chosen(source, operation, id) {
                    continue;
                }
                let Some(tool) = self.tool(source, entry, item, &segments, operation, id) else { continue };
                let at = source.named.unwrap_or(operation.name_at);
                if let Some((_, first)) = tools.iter().find(|(other, _)| other.name == tool.name) {
                    let problem =
                        Problem::error("duplicate-tool", at, format!("there is another tool `{}`", tool.name));
                    let help = "give the tools of one document a `prefix`, or one of them a `name` in `overrides`";
                    self.all.problems.push(problem.related(*first, "the other is here").help(help));
                    continue;
                }
                self.is_routed(source, &tool, at);
                tools.push((tool, at));
            }
        }
        for (field, names) in [
            ("allow", source.written.operations.as_ref().and_then(|operations| operations.allow.as_ref())),
            ("deny", source.written.operations.as_ref().and_then(|operations| operations.deny.as_ref())),
        ] {
            for (index, name) in names.iter().flat_map(|names| &names.0).enumerate() {
                let at = source.node.place([Field("operations"), Field(field), Item(index)]);
                self.operation_is_known(name, &known, at);
            }
        }
        for (name, _) in source.written.overrides.iter().flat_map(|all| &all.0) {
            let at = source.node.get("overrides").and_then(|all| all.entry(name)).map(|entry| entry.name_at);
            self.operation_is_known(name, &known, at.unwrap_or(source.node.at));
        }
    }

    /// A misspelt name would publish what nobody wanted, or leave out what somebody did.
    fn operation_is_known(&mut self, name: &str, known: &[&str], at: Span) {
        if known.iter().any(|id| is_named(name, id)) {
            return;
        }
        let problem = Problem::error("unknown-operation", at, format!("there is no operation `{name}`"));
        let help = match closest(name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if known.is_empty() => "no operation has an `operationId`".to_owned(),
            None => format!("there are {}", list_some(known)),
        };
        self.all.problems.push(problem.help(help));
    }

    fn is_chosen(&self, source: &Source<'a, '_>, operation: &Entry, id: Option<&str>) -> bool {
        let written = source.written;
        let is_called = match &written.methods {
            Some(methods) => methods.0.iter().any(|method| method.0.eq_ignore_ascii_case(&operation.name)),
            None => CALLED.contains(&operation.name.as_str()),
        };
        let is_tagged = written.tags.as_ref().is_none_or(|tags| {
            let own = operation.value.get("tags").map(Node::items).unwrap_or_default();
            own.iter().filter_map(Node::text).any(|tag| tags.0.iter().any(|wanted| wanted == tag))
        });
        let named =
            |names: &written::OneOrMany<String>| id.is_some_and(|id| names.0.iter().any(|name| is_named(name, id)));
        let operations = written.operations.as_ref();
        let is_allowed = operations.and_then(|operations| operations.allow.as_ref()).is_none_or(&named);
        let is_denied = operations.and_then(|operations| operations.deny.as_ref()).is_some_and(named);
        is_called && is_tagged && is_allowed && !is_denied
    }

    fn tool(
        &mut self,
        source: &Source<'a, '_>,
        path: &'a Entry,
        item: &'a Node,
        segments: &[Segment],
        operation: &'a Entry,
        id: Option<&str>,
    ) -> Option<Tool> {
        let node = &operation.value;
        let reading = source.reading;
        let over = id.and_then(|id| {
            let all = source.written.overrides.as_ref()?;
            all.0.iter().find(|(name, _)| name == id).map(|(_, over)| over)
        });
        let mut schema = ToolSchema::new(reading);
        let mut arguments: Vec<Argument> = Vec::new();
        let mut properties = Map::new();
        let mut required: Vec<String> = Vec::new();
        for list in [node.get("parameters"), item.get("parameters")].into_iter().flatten() {
            for node in list.items() {
                let Some((parameter, at)) = self.parameter(node, segments, reading) else { continue };
                if parameter.place == Place::Cookie {
                    if parameter.required {
                        return self.left_out(at, operation, &format!("it needs the cookie `{}`", parameter.name));
                    }
                    continue;
                }
                let same = |other: &Argument| other.place == parameter.place && other.name == parameter.name;
                if arguments.iter().any(same) {
                    continue;
                }
                let mut argument = parameter.name.clone();
                if properties.contains_key(&argument) {
                    argument = format!("{argument}_{}", parameter.place.name());
                }
                let written = self.follow(node, reading)?;
                let described = match written
                    .get("schema")
                    .or(written.get("content").and_then(|content| content.entries().first()?.value.get("schema")))
                {
                    Some(of) => schema.convert(self.all, of),
                    None => json!({}),
                };
                properties.insert(argument.clone(), with_description(described, written.get("description")));
                if parameter.required {
                    required.push(argument.clone());
                }
                arguments.push(Argument {
                    argument,
                    name: parameter.name,
                    place: parameter.place,
                    required: parameter.required,
                    style: parameter.style,
                    explode: parameter.explode,
                    schema: parameter.schema,
                });
            }
        }
        for segment in segments {
            if let Segment::Parameter { name, .. } = segment
                && !arguments.iter().any(|argument| argument.place == Place::Path && argument.name == *name)
            {
                let why = format!("the parameter `{name}` of its path is not described");
                return self.left_out(path.name_at, operation, &why);
            }
        }
        let mut input = None;
        let body = match node.get("requestBody").and_then(|body| self.follow(body, reading)) {
            None => None,
            Some(written) => {
                let is_required = written.get("required").is_some_and(|node| node.value == Value::Bool(true));
                let content = written.get("content").map(Node::entries).unwrap_or_default();
                let essence =
                    |entry: &Entry| entry.name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                let found = content.iter().find(|entry| is_json(&essence(entry)));
                let found = found.or_else(|| content.iter().find(|entry| essence(entry) == FORM));
                match found.and_then(|entry| Some((essence(entry), entry.value.get("schema")?))) {
                    Some((media_type, of)) => {
                        let id = self.all.schemas.schema(of, reading, self.all.problems);
                        let target = self.follow(of, reading)?;
                        let is_object = is_object(target);
                        let alone = arguments.is_empty() && is_object;
                        let argument = if alone {
                            input = Some(schema.root(self.all, target));
                            None
                        } else {
                            let name = if properties.contains_key("body") { "request_body" } else { "body" };
                            let described = schema.convert(self.all, of);
                            properties.insert(name.to_owned(), with_description(described, written.get("description")));
                            if is_required {
                                required.push(name.to_owned());
                            }
                            Some(name.to_owned())
                        };
                        let form = media_type == FORM;
                        let media_type =
                            if media_type.contains('*') { "application/json".to_owned() } else { media_type };
                        Some(BodyArgument { argument, required: is_required, media_type, form, schema: id })
                    }
                    None if is_required => {
                        return self.left_out(operation.name_at, operation, "its body is neither JSON nor a form");
                    }
                    None => None,
                }
            }
        };
        let mut input = input.unwrap_or_else(|| {
            let mut whole = Map::new();
            whole.insert("type".to_owned(), json!("object"));
            whole.insert("properties".to_owned(), Json::Object(properties));
            if !required.is_empty() {
                whole.insert("required".to_owned(), json!(required));
            }
            whole.insert("additionalProperties".to_owned(), json!(false));
            whole
        });
        schema.finish(&mut input);
        let (output, output_schema) = self.output(source, node).unzip();
        let name = self.tool_name(source, over, operation, path, id)?;
        let definition = definition(over, operation, path, &name, input, output_schema);
        Some(Tool {
            name,
            definition,
            method: operation.name.to_ascii_uppercase(),
            base: source.base.clone(),
            path: segments.to_vec(),
            arguments,
            body,
            headers: source.headers.clone(),
            output,
        })
    }

    fn left_out<T>(&mut self, at: Span, operation: &Entry, why: &str) -> Option<T> {
        let id = operation.value.get("operationId").and_then(Node::text);
        let name = id.map_or_else(|| operation.name.to_ascii_uppercase(), str::to_owned);
        let message = format!("`{name}` is no tool: {why}");
        let problem = Problem::warning("tool-left-out", at, message);
        self.all.problems.push(problem.related(operation.name_at, "the operation is here"));
        None
    }

    fn tool_name(
        &mut self,
        source: &Source<'a, '_>,
        over: Option<&written::McpOverride>,
        operation: &Entry,
        path: &Entry,
        id: Option<&str>,
    ) -> Option<String> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let given = over.and_then(|over| over.name.as_deref());
        let base = match given.or(id) {
            Some(name) => name.chars().map(|c| if is_of_name(c) { c } else { '_' }).collect(),
            None => {
                let words = path.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
                [operation.name.as_str()].into_iter().chain(words).collect::<Vec<_>>().join("_")
            }
        };
        let name = format!("{}{base}", source.written.prefix.as_deref().unwrap_or_default());
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_of_name) {
            let message = format!("`{name}` cannot be the name of a tool");
            let problem = Problem::error("bad-tool-name", operation.name_at, message);
            let help =
                "use letters, digits, `_`, `-` and `.`, at most 128 of them; `overrides` can give it another name";
            self.all.problems.push(problem.help(help));
            return None;
        }
        Some(name)
    }

    /// What results are like, where the document says it in one way.
    fn output(&mut self, source: &Source<'a, '_>, operation: &'a Node) -> Option<(Output, Json)> {
        let reading = Reading { way: Way::Response, ..source.reading };
        let responses = operation.get("responses").map(Node::entries).unwrap_or_default();
        let mut successes = responses.iter().filter(|entry| entry.name.starts_with('2'));
        let (Some(only), None) = (successes.next(), successes.next()) else { return None };
        let response = self.follow(&only.value, reading)?;
        let [content] = response.get("content")?.entries() else { return None };
        let essence = content.name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let of = content.value.get("schema").filter(|_| is_json(&essence))?;
        let target = self.follow(of, reading)?;
        let id = self.all.schemas.schema(of, reading, self.all.problems);
        let mut schema = ToolSchema::new(reading);
        let wrapped = !is_object(target);
        let mut whole = if wrapped {
            let inner = schema.convert(self.all, of);
            let whole = json!({ "type": "object", "properties": { "result": inner }, "required": ["result"] });
            whole.as_object().cloned()?
        } else {
            schema.root(self.all, target)
        };
        schema.finish(&mut whole);
        Some((Output { schema: id, wrapped }, Json::Object(whole)))
    }

    /// Tells of a tool that no route answers.
    fn is_routed(&mut self, source: &Source<'a, '_>, tool: &Tool, at: Span) {
        let mut begins = source.base.clone();
        for segment in &tool.path {
            let Segment::Literal(text) = segment else { break };
            begins.push('/');
            begins.push_str(text);
        }
        let routes = self.all.loaded.routes.iter().filter(|route| route.name != self.defined.name);
        let takes = |route: &super::super::load::Defined<written::Route>| {
            let written = &route.written;
            if written.path_regex.is_some() || written.path.is_none() && written.path_prefix.is_none() {
                return true;
            }
            let paths = written.path.iter().flat_map(|paths| &paths.0);
            let mut paths = paths.filter_map(|path| Pattern::parse(&path.0).ok());
            let prefixes = written.path_prefix.iter().flat_map(|paths| &paths.0);
            let mut prefixes = prefixes.filter_map(|path| Pattern::parse_prefix(&path.0).ok());
            paths.any(|pattern| may_begin(&Matcher::Path(pattern), &begins))
                || prefixes.any(|pattern| may_begin(&Matcher::Path(pattern), &begins))
        };
        if routes.into_iter().any(takes) || self.all.loaded.incomplete {
            return;
        }
        let message = format!("no route takes `{begins}`, so the tool `{}` can only fail", tool.name);
        let problem = Problem::warning("unrouted-tool", at, message);
        self.all.problems.push(problem.help("let a route take it, or set `base_path` to what stands before the paths"));
    }
}

/// What is told of a tool.
fn definition(
    over: Option<&written::McpOverride>,
    operation: &Entry,
    path: &Entry,
    name: &str,
    input: Map<String, Json>,
    output: Option<Json>,
) -> String {
    let node = &operation.value;
    let said = |field: &str| node.get(field).and_then(Node::text).map(str::trim).filter(|text| !text.is_empty());
    let title = over.and_then(|over| over.title.as_deref()).or(said("summary"));
    let description = over.and_then(|over| over.description.clone()).unwrap_or_else(|| {
        match (said("summary"), said("description")) {
            (_, Some(description)) => description.to_owned(),
            (Some(summary), None) => summary.to_owned(),
            (None, None) => format!("{} {}", operation.name.to_ascii_uppercase(), path.name),
        }
    });
    let mut tool = Map::new();
    tool.insert("name".to_owned(), json!(name));
    if let Some(title) = title {
        tool.insert("title".to_owned(), json!(title));
    }
    tool.insert("description".to_owned(), json!(description));
    tool.insert("inputSchema".to_owned(), Json::Object(input));
    if let Some(output) = output {
        tool.insert("outputSchema".to_owned(), output);
    }
    let hint = |name: &str| node.get(name).map(|node| node.value == Value::Bool(true));
    let method = operation.name.as_str();
    let read_only = over.and_then(|over| over.read_only).or(hint(READ_ONLY)).unwrap_or(method == "get");
    let destructive = over.and_then(|over| over.destructive).or(match method {
        "put" | "patch" | "delete" => Some(true),
        _ => None,
    });
    let idempotent = over.and_then(|over| over.idempotent).or(hint(IDEMPOTENT)).or(match method {
        "put" | "delete" => Some(true),
        _ => None,
    });
    let mut annotations = Map::new();
    annotations.insert("readOnlyHint".to_owned(), json!(read_only));
    if !read_only {
        annotations.extend(destructive.map(|is| ("destructiveHint".to_owned(), json!(is))));
        annotations.extend(idempotent.map(|is| ("idempotentHint".to_owned(), json!(is))));
    }
    tool.insert("annotations".to_owned(), Json::Object(annotations));
    Json::Object(tool).to_string()
}

/// What documents say of operations that are methods of services: that they change nothing.
pub(in super::super) const READ_ONLY: &str = "x-read-only";
/// And that doing it twice is like doing it once.
pub(in super::super) const IDEMPOTENT: &str = "x-idempotent";

/// A schema with what the parameter says of it, where it says nothing itself.
fn with_description(mut schema: Json, said: Option<&Node>) -> Json {
    if let (Some(object), Some(said)) = (schema.as_object_mut(), said)
        && !object.contains_key("description")
    {
        object.insert("description".to_owned(), plain(said));
    }
    schema
}

/// Whether a schema is sure to be one of objects.
fn is_object(schema: &Node) -> bool {
    let kinds: Vec<&str> =
        schema.get("type").map(Node::items).unwrap_or_default().iter().filter_map(Node::text).collect();
    let nullable = schema.get("nullable").is_some_and(|node| node.value == Value::Bool(true));
    kinds == ["object"] && !nullable
}

/// Whether an operation is this one, or one of these: `list*`.
fn is_named(name: &str, id: &str) -> bool {
    match name.strip_suffix('*') {
        Some(beginning) => id.starts_with(beginning),
        None => name == id,
    }
}
