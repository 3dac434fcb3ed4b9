//! Services of gRPC: which methods can be called, by which ways, and the descriptors that are needed for it.

use std::collections::BTreeSet;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, FieldDescriptorProto, FieldOptions, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, MethodOptions, ServiceDescriptorProto,
};

use super::super::{
    node::Step::{Field, Item},
    problem::{Problem, Span},
    protos::{Known, with_error_details},
    suggest::closest,
    written,
};
use super::{RouteCompiler, list_some, may_begin};
use crate::{
    forward::{Forward, PathChange},
    grpc::{
        Binding, BodyField, Client, Clients, Dialect, Grpc, Mapping, Rpc, StreamForm, Table, message,
        template::{Template, Tree},
    },
    route::Matcher,
};

impl RouteCompiler<'_, '_> {
    pub(super) fn grpc(&mut self, forward: Forward, paths: &[Matcher]) -> Option<Grpc> {
        let written = self.defined.written.grpc.as_ref()?;
        let node = self.defined.node.get("grpc")?;
        if let (Some(protos), Some(descriptors)) = (node.entry("protos"), node.entry("descriptors")) {
            self.both(protos.name_at, "protos", descriptors.name_at, "descriptors");
        }
        if let (None, None, false) = (node.entry("protos"), node.entry("descriptors"), node.damaged) {
            let problem = Problem::error("missing-descriptors", node.head(), "nothing says which services there are");
            self.all.problems.push(problem.help("name `protos` or `descriptors`"));
        }
        if let (Some(imports), None) = (node.entry("imports"), node.entry("protos")) {
            let problem = Problem::error("missing-descriptors", imports.name_at, "`imports` is for `protos`");
            self.all.problems.push(problem.help("remove it"));
        }
        self.exclude("grpc", &["websocket", "graphql", "soap"]);
        let known = self.all.loaded.descriptors.get(node.at)?;
        let methods = self.callable(written, known)?;
        let table = self.table(written, known, &methods, &forward, paths);
        let descriptors = prune(&with_error_details(known.pool.clone()), &methods);
        // Whoever runs it reads no more than this.
        if let Err(error) = DescriptorPool::decode(descriptors.as_slice()) {
            let at = self.at([Field("grpc")]);
            let message = format!("what is needed of these descriptors cannot be used: {error}");
            self.all.problems.push(Problem::error("bad-descriptors", at, message));
            return None;
        }
        self.all.features.insert("grpc");
        let services = (table, descriptors);
        let place = match self.all.services_of_grpc.iter().position(|known| *known == services) {
            Some(place) => place,
            None => {
                self.all.services_of_grpc.push(services);
                self.all.services_of_grpc.len() - 1
            }
        };
        let json = written.json.clone().unwrap_or_default();
        let metadata = written.metadata.clone().unwrap_or_default();
        let names = |names: Option<written::OneOrMany<written::MetadataName>>, usual: &[&str]| match names {
            Some(names) => names.0.into_iter().map(|name| name.0.to_ascii_lowercase()).collect(),
            None => usual.iter().map(|name| (*name).to_owned()).collect(),
        };
        Some(Grpc {
            forward,
            services: u32::try_from(place).unwrap_or(u32::MAX),
            dialect: match written.dialect {
                written::GrpcDialect::Grpc => Dialect::Grpc,
                written::GrpcDialect::GrpcWeb => Dialect::GrpcWeb,
                written::GrpcDialect::Connect => Dialect::Connect,
            },
            mapping: Mapping {
                enum_numbers: json.enums == Some(written::GrpcEnums::Number),
                original_names: json.names == Some(written::GrpcNames::Original),
                defaults: json.defaults == Some(written::GrpcDefaults::Write),
                wide_numbers: json.wide_numbers == Some(written::GrpcWideNumbers::Number),
                ignore_unknown: json.unknown == Some(written::GrpcUnknown::Ignore),
            },
            stream: match written.stream {
                None | Some(written::GrpcStream::Array) => StreamForm::Array,
                Some(written::GrpcStream::Lines) => StreamForm::Lines,
                Some(written::GrpcStream::Events) => StreamForm::Events,
            },
            request_metadata: names(metadata.request, &USUAL),
            response_metadata: names(metadata.response, &[]),
            message_limit: written.max_message.map_or(4 << 20, |size| size.bytes),
            clients: match &written.clients {
                None => Clients::ALL,
                Some(clients) => Clients::of(clients.0.iter().map(|client| match client {
                    written::GrpcClient::Json => Client::Json,
                    written::GrpcClient::Connect => Client::Connect,
                    written::GrpcClient::GrpcWeb => Client::GrpcWeb,
                    written::GrpcClient::Grpc => Client::Grpc,
                })),
            },
        })
    }

    /// The methods that can be called.
    fn callable(&mut self, written: &written::Grpc, known: &Known) -> Option<Vec<MethodDescriptor>> {
        let own = known.pool.services().filter(|service| {
            let file = service.parent_file();
            known.own.iter().any(|own| own == file.name())
        });
        let all: Vec<MethodDescriptor> = own.flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
        let Some(names) = &written.services else {
            if all.is_empty() {
                let at = self.at([Field("grpc")]);
                self.all.problems.push(Problem::error("unknown-service", at, "there is no service in these files"));
            }
            return Some(all);
        };
        let mut methods = Vec::new();
        let before = self.all.problems.len();
        for (index, name) in names.0.iter().enumerate() {
            let meant =
                |method: &&MethodDescriptor| *name == method.parent_service().full_name() || *name == name_of(method);
            let found: Vec<_> = all.iter().filter(meant).filter(|method| !methods.contains(*method)).cloned().collect();
            if found.is_empty() && !all.iter().any(|method| meant(&method)) {
                let services: BTreeSet<String> =
                    all.iter().map(|method| method.parent_service().full_name().to_owned()).collect();
                let services: Vec<&str> = services.iter().map(String::as_str).collect();
                let names: Vec<String> = all.iter().map(name_of).collect();
                let candidates = services.iter().copied().chain(names.iter().map(String::as_str));
                let help = match closest(name, candidates) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("there are {}", list_some(&services)),
                };
                let at = self.item(&["grpc", "services"], index, names_len(written));
                let message = format!("there is no service or method called `{name}`");
                self.all.problems.push(Problem::error("unknown-service", at, message).help(help));
            }
            methods.extend(found);
        }
        (self.all.problems.len() == before).then_some(methods)
    }

    /// The place of an entry, which may stand there without a list.
    fn item(&self, fields: &[&str], index: usize, of: usize) -> Span {
        let steps = fields.iter().map(|field| Field(field));
        if of == 1 {
            let list = self.at(steps.clone().chain([Item(0)]));
            let alone = self.at(steps);
            if list.start > alone.start { list } else { alone }
        } else {
            self.at(steps.chain([Item(index)]))
        }
    }

    fn table(
        &mut self,
        written: &written::Grpc,
        known: &Known,
        methods: &[MethodDescriptor],
        forward: &Forward,
        paths: &[Matcher],
    ) -> Table {
        let mut table = Table { methods: Vec::new(), bindings: Vec::new() };
        let mut tree = Tree::default();
        for (number, method) in (0..).zip(methods) {
            let rules = rules(method);
            for rule in &rules {
                let at = self.annotation(known, method, rule);
                match self.binding(rule, method, number, at) {
                    Some(binding) => {
                        let place = u32::try_from(table.bindings.len()).unwrap_or(u32::MAX);
                        if let Err(other) = tree.add(&binding.method, &binding.template, place) {
                            self.conflict(&table, other, &binding, method, methods, at);
                        } else {
                            self.reachable(&binding, method, forward, paths, at);
                            table.bindings.push(binding);
                        }
                    }
                    None => continue,
                }
            }
            let plain = match written.plain_paths {
                None | Some(written::GrpcPlainPaths::Unannotated) => rules.is_empty(),
                Some(written::GrpcPlainPaths::All) => true,
                Some(written::GrpcPlainPaths::None) => false,
            };
            let takes_json = plain || !rules.is_empty();
            if takes_json && method.is_server_streaming() && method.output().full_name() == message::HTTP_BODY {
                self.raw_stream(written, method);
            }
            table.methods.push(Rpc { name: name_of(method), plain });
        }
        table
    }

    /// Tells of a method whose many answers are bytes of any type, which are not written as they are: the type stands in the first
    /// of them, and the head is sent before.
    fn raw_stream(&mut self, written: &written::Grpc, method: &MethodDescriptor) {
        if written.clients.as_ref().is_some_and(|clients| !clients.0.contains(&written::GrpcClient::Json)) {
            return;
        }
        let at = self.at([Field("grpc")]).first_byte();
        let message =
            format!("`{}` gives many `{}`, which JSON clients get as JSON", name_of(method), message::HTTP_BODY);
        let problem = Problem::warning("raw-stream", at, message);
        self.all.problems.push(problem.help("have it give one, or leave it out of `services`"));
    }

    fn conflict(
        &mut self,
        table: &Table,
        other: u32,
        binding: &Binding,
        method: &MethodDescriptor,
        methods: &[MethodDescriptor],
        at: Span,
    ) {
        let Some(first) = table.bindings.get(other as usize) else { return };
        let of = methods.get(first.rpc as usize).map(name_of).unwrap_or_default();
        let message = format!(
            "`{} {}` of `{}` takes the same requests as `{} {}` of `{of}`",
            shown(&binding.method),
            binding.template,
            name_of(method),
            shown(&first.method),
            first.template,
        );
        let problem = Problem::error("conflicting-bindings", at, message);
        self.all.problems.push(problem.help("change one of them, or name the methods in `services`"));
    }

    /// Tells of a way that no request of this route can take.
    fn reachable(
        &mut self,
        binding: &Binding,
        method: &MethodDescriptor,
        forward: &Forward,
        paths: &[Matcher],
        at: Span,
    ) {
        let prefix = binding.template.prefix();
        let wanted = match &forward.path {
            PathChange::Keep => vec![prefix],
            PathChange::Prefix { strip, add } => match prefix.strip_prefix(add.trim_end_matches('/')) {
                Some(rest) if strip.is_empty() => vec![rest.to_owned()],
                Some(rest) => strip.iter().map(|strip| format!("{}{rest}", strip.trim_end_matches('/'))).collect(),
                None => Vec::new(),
            },
            PathChange::Rewrite(_) | PathChange::Regex { .. } => return,
        };
        if wanted.iter().any(|wanted| paths.iter().any(|path| may_begin(path, wanted))) {
            return;
        }
        let message = format!(
            "`{} {}` of `{}` is never called: no path of this route becomes one of these",
            shown(&binding.method),
            binding.template,
            name_of(method)
        );
        let problem = Problem::warning("unreachable-binding", at, message);
        self.all.problems.push(problem.help("widen the `path` of the route, or name in `services` what it is for"));
    }

    fn binding(&mut self, rule: &Rule, method: &MethodDescriptor, number: u32, at: Span) -> Option<Binding> {
        let mut bad = |message: String| {
            let message = format!("the annotation of `{}`: {message}", name_of(method));
            self.all.problems.push(Problem::error("bad-binding", at, message));
        };
        let template = match Template::parse(&rule.path) {
            Ok(template) => template,
            Err(why) => {
                bad(why);
                return None;
            }
        };
        let input = method.input();
        let mut sound = true;
        for variable in &template.variables {
            let wrong = match message::path(&input, &variable.field) {
                None => Some("there is no such field"),
                Some(fields) => match fields.last() {
                    Some(field) if field.is_list() || field.is_map() => Some("a path cannot hold many values"),
                    Some(field) if !message::is_text(&field.kind()) => Some("a path cannot hold a message"),
                    Some(_) | None => None,
                },
            };
            if let Some(wrong) = wrong {
                bad(format!("`{}` of `{}`: {wrong}", variable.field, rule.path));
                sound = false;
            }
        }
        let body = match rule.body.as_str() {
            "" => BodyField::None,
            "*" => BodyField::Whole,
            name if input.get_field_by_name(name).is_some() => BodyField::Field(name.to_owned()),
            name => {
                bad(format!("the body `{name}` is no field of `{}`", input.full_name()));
                return None;
            }
        };
        let response = (!rule.response_body.is_empty()).then(|| rule.response_body.clone());
        if let Some(name) = &response {
            if method.output().get_field_by_name(name).is_none() {
                bad(format!("the body of the answer, `{name}`, is no field of `{}`", method.output().full_name()));
                sound = false;
            } else if method.is_server_streaming() {
                bad("the messages of a stream are written whole, without `response_body`".to_owned());
                sound = false;
            }
        }
        if !(rule.method == "*" || crate::http::is_token(&rule.method)) {
            bad(format!("`{}` is no method of HTTP", rule.method));
            sound = false;
        }
        sound.then(|| Binding { method: rule.method.clone(), template, rpc: number, body, response })
    }

    /// Where an annotation stands: in the `.proto` file, as far as its text is found there.
    fn annotation(&self, known: &Known, method: &MethodDescriptor, rule: &Rule) -> Span {
        let file = method.parent_service().parent_file();
        let place = known.texts.get(file.name()).and_then(|number| {
            let text = &self.all.sources.get(*number)?.text;
            let from = text.find(&format!("rpc {}", method.name())).unwrap_or(0);
            let quoted = format!("\"{}\"", rule.path);
            let start = from + text.get(from..)?.find(&quoted)?;
            Some(Span { file: *number, start, end: start + quoted.len() })
        });
        place.unwrap_or_else(|| self.at([Field("grpc")]).first_byte())
    }
}

/// What becomes metadata where nothing else is said.
const USUAL: [&str; 4] = ["authorization", "traceparent", "tracestate", "x-request-id"];

fn names_len(written: &written::Grpc) -> usize {
    written.services.as_ref().map_or(0, |names| names.0.len())
}

fn shown(method: &str) -> &str {
    if method == "*" { "(any)" } else { method }
}

/// `package.Service/Method`
fn name_of(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

/// A binding as it was written.
struct Rule {
    method: String,
    path: String,
    body: String,
    response_body: String,
}

/// The bindings of a method, the additional ones behind the first.
fn rules(method: &MethodDescriptor) -> Vec<Rule> {
    let pool = method.parent_pool();
    let Some(extension) = pool.get_extension_by_name("google.api.http") else { return Vec::new() };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Vec::new();
    }
    let mut rules = Vec::new();
    if let Value::Message(first) = options.get_extension(&extension).into_owned() {
        rules.extend(rule(&first));
        if let Some(Value::List(more)) =
            first.get_field_by_name("additional_bindings").map(std::borrow::Cow::into_owned)
        {
            rules.extend(more.iter().filter_map(Value::as_message).filter_map(rule));
        }
    }
    rules
}

fn rule(message: &DynamicMessage) -> Option<Rule> {
    let text = |message: &DynamicMessage, name: &str| {
        message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let named = ["get", "put", "post", "delete", "patch"].into_iter().find(|name| message.has_field_by_name(name));
    let (method, path) = match named {
        Some(name) => (name.to_ascii_uppercase(), text(message, name)),
        None => {
            let custom = message.get_field_by_name("custom").filter(|_| message.has_field_by_name("custom"))?;
            let custom = custom.as_message()?;
            (text(custom, "kind"), text(custom, "path"))
        }
    };
    Some(Rule { method, path, body: text(message, "body"), response_body: text(message, "response_body") })
}

/// What of these descriptors is needed to call the methods, without options, comments, and services that nobody calls. A message
/// that can hold any other needs all of them.
fn prune(pool: &DescriptorPool, methods: &[MethodDescriptor]) -> Vec<u8> {
    let mut reached = BTreeSet::new();
    let details = pool.all_messages().filter(|message| message.package_name() == "google.rpc");
    let roots = methods.iter().flat_map(|method| [method.input(), method.output()]).chain(details);
    roots.for_each(|message| reach(&message, &mut reached));
    let everything = reached.contains("google.protobuf.Any");
    let keeps = |name: &str| everything || reached.contains(name);
    let mut files = Vec::new();
    for file in pool.file_descriptor_protos() {
        let package = file.package();
        let within = |name: &str| if package.is_empty() { name.to_owned() } else { format!("{package}.{name}") };
        let messages = file.message_type.iter().filter(|message| keeps_any(message, &within(message.name()), &keeps));
        let messages = messages.map(|message| needed(message.clone(), &within(message.name()), &keeps));
        let extension = file.extension.iter().filter(|field| extends_any(field, &keeps));
        let kept = FileDescriptorProto {
            name: file.name.clone(),
            package: file.package.clone(),
            syntax: file.syntax.clone(),
            message_type: messages.collect(),
            enum_type: file.enum_type.iter().filter(|kind| keeps(&within(kind.name()))).cloned().map(bare).collect(),
            extension: extension.cloned().collect(),
            service: file
                .service
                .iter()
                .filter_map(|service| called(service, &within(service.name()), methods))
                .collect(),
            ..FileDescriptorProto::default()
        };
        if !(kept.message_type.is_empty()
            && kept.enum_type.is_empty()
            && kept.extension.is_empty()
            && kept.service.is_empty())
        {
            files.push(kept);
        }
    }
    // Each imports what it names, directly.
    let names: BTreeSet<String> = files.iter().map(|file| file.name().to_owned()).collect();
    for file in &mut files {
        let mut needed = BTreeSet::new();
        file.message_type.iter().for_each(|message| named_types(message, &mut needed));
        for field in &file.extension {
            needed.extend([field.type_name(), field.extendee()].map(str::to_owned));
        }
        let calls = file.service.iter().flat_map(|service| &service.method);
        calls.for_each(|method| needed.extend([method.input_type(), method.output_type()].map(str::to_owned)));
        let home = |name: &String| {
            let name = name.trim_start_matches('.');
            let message = pool.get_message_by_name(name).map(|message| message.parent_file().name().to_owned());
            message.or_else(|| pool.get_enum_by_name(name).map(|kind| kind.parent_file().name().to_owned()))
        };
        let homes: BTreeSet<String> = needed.iter().filter_map(home).collect();
        file.dependency = homes.into_iter().filter(|home| home != file.name() && names.contains(home)).collect();
    }
    FileDescriptorSet { file: files }.encode_to_vec()
}

fn reach(message: &MessageDescriptor, reached: &mut BTreeSet<String>) {
    let mut wanted = vec![message.clone()];
    while let Some(message) = wanted.pop() {
        if !reached.insert(message.full_name().to_owned()) {
            continue;
        }
        for kind in message.fields().map(|field: FieldDescriptor| field.kind()) {
            match kind {
                Kind::Message(inner) => wanted.push(inner),
                Kind::Enum(kind) => drop(reached.insert(kind.full_name().to_owned())),
                _ => {}
            }
        }
        for extension in message.extensions() {
            match extension.kind() {
                Kind::Message(inner) => wanted.push(inner),
                Kind::Enum(kind) => drop(reached.insert(kind.full_name().to_owned())),
                _ => {}
            }
        }
    }
}

/// Whether a message, or anything inside it, is needed.
fn keeps_any(message: &DescriptorProto, name: &str, keeps: &impl Fn(&str) -> bool) -> bool {
    keeps(name)
        || message.extension.iter().any(|field| extends_any(field, keeps))
        || message.enum_type.iter().any(|kind| keeps(&format!("{name}.{}", kind.name())))
        || message.nested_type.iter().any(|inner| keeps_any(inner, &format!("{name}.{}", inner.name()), keeps))
}

/// Whether a field extends a message that is needed. Those of options are read before.
fn extends_any(field: &FieldDescriptorProto, keeps: &impl Fn(&str) -> bool) -> bool {
    let extendee = field.extendee().trim_start_matches('.');
    !extendee.starts_with("google.protobuf.") && keeps(extendee)
}

/// A message without options and without what nobody needs inside it. One that is only there for what is inside it has no fields:
/// they may be of types that nobody needs.
fn needed(message: DescriptorProto, name: &str, keeps: &impl Fn(&str) -> bool) -> DescriptorProto {
    let field = |mut field: FieldDescriptorProto| {
        field.options = field
            .options
            .and_then(|options| options.packed)
            .map(|packed| FieldOptions { packed: Some(packed), ..FieldOptions::default() });
        field
    };
    let within = |inner: &str| format!("{name}.{inner}");
    let nested = message.nested_type.into_iter().filter(|inner| keeps_any(inner, &within(inner.name()), keeps));
    let (fields, oneofs) = if keeps(name) { (message.field, message.oneof_decl) } else { (Vec::new(), Vec::new()) };
    let extensions = message.extension.into_iter().filter(|field| extends_any(field, keeps));
    let enums = message.enum_type.into_iter().filter(|kind| keeps(&within(kind.name())));
    DescriptorProto {
        field: fields.into_iter().map(field).collect(),
        oneof_decl: oneofs,
        extension: extensions.map(field).collect(),
        nested_type: nested
            .map(|inner| {
                let name = within(inner.name());
                needed(inner, &name, keeps)
            })
            .collect(),
        enum_type: enums.map(bare).collect(),
        options: message.options.filter(|options| options.map_entry() || options.message_set_wire_format()).map(
            |options| MessageOptions {
                map_entry: options.map_entry,
                message_set_wire_format: options.message_set_wire_format,
                ..MessageOptions::default()
            },
        ),
        ..message
    }
}

/// An enum without options, save that which says that two names have one number.
fn bare(mut kind: EnumDescriptorProto) -> EnumDescriptorProto {
    kind.options = kind
        .options
        .and_then(|options| options.allow_alias)
        .map(|alias| EnumOptions { allow_alias: Some(alias), ..EnumOptions::default() });
    kind.value.iter_mut().for_each(|value| value.options = None);
    kind
}

fn called(
    service: &ServiceDescriptorProto,
    name: &str,
    methods: &[MethodDescriptor],
) -> Option<ServiceDescriptorProto> {
    let is_called = |method: &&prost_types::MethodDescriptorProto| {
        methods.iter().any(|known| known.parent_service().full_name() == name && known.name() == method.name())
    };
    let kept: Vec<_> = service
        .method
        .iter()
        .filter(is_called)
        .cloned()
        .map(|mut method| {
            method.options = method
                .options
                .and_then(|options| options.idempotency_level)
                .map(|level| MethodOptions { idempotency_level: Some(level), ..MethodOptions::default() });
            method
        })
        .collect();
    (!kept.is_empty()).then(|| ServiceDescriptorProto { name: service.name.clone(), method: kept, options: None })
}

fn named_types(message: &DescriptorProto, names: &mut BTreeSet<String>) {
    for field in message.field.iter().chain(&message.extension) {
        names.extend([field.type_name(), field.extendee()].map(str::to_owned));
    }
    message.nested_type.iter().for_each(|inner| named_types(inner, names));
}
