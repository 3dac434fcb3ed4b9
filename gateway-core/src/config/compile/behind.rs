//! What is written behind a cache, where it cannot see: what an answer may depend on must be in its key all the same.

use super::compose;
use crate::{
    cache::key::Query,
    expression,
    forward::PathChange,
    gateway::Action,
    policy::{Policy, cache::KeyRules, links::Links, transform::Transform},
    shape::{Blueprint, Edit, Rules},
    template::{Collection, Piece, Template, Variable},
};
use std::collections::VecDeque;

/// All that comes behind a cache.
#[derive(Clone, Copy)]
pub(super) struct Behind<'p> {
    pub policies: &'p [Policy],
    pub action: Option<&'p Action>,
    /// Whether requests with bodies come so far.
    pub with_bodies: bool,
}

impl<'p> Behind<'p> {
    /// The fields of the request that are written: of an answer that varies by one of them nobody knows by what it was chosen.
    pub fn fields(self) -> Vec<String> {
        let mut fields = Vec::new();
        for policy in self.policies {
            match policy {
                Policy::Headers(headers) => {
                    let request = &headers.request;
                    let added = request.default.iter().chain(&request.append).map(|(name, _)| name.as_str());
                    fields.extend(request.replaced().chain(added).map(str::to_owned));
                }
                Policy::Transform(transform) if !transform.request.cookies.is_empty() => {
                    fields.push("cookie".to_owned());
                }
                _ => {}
            }
        }
        fields
    }

    /// Adds to a key whatever it does not show of the holes in the target and the body that an upstream gets, and in what becomes of
    /// its answer before that is stored.
    pub fn tell_apart(self, key: &mut KeyRules) {
        self.show(key, self.templates().flat_map(Template::pieces).cloned().collect());
    }

    /// Adds to a key what the conditions of a composition ask for. The name of a step that asks for more than a key can name is the
    /// error.
    pub fn tell_conditions_apart(self, key: &mut KeyRules) -> Result<(), &'p str> {
        let Some(Action::Compose(compose)) = self.action else { return Ok(()) };
        for step in &compose.steps {
            let Some(when) = &step.when else { continue };
            let asked = HOLES.into_iter().filter(|(variable, _)| when.asks_for(|asked| asked == *variable));
            self.show(key, asked.map(|(_, hole)| Piece::Variable(hole)).collect());
            let members = |map| match when.asks_for(|asked| asked == map) {
                true => when.members_of(map).ok_or(step.name.as_str()),
                false => Ok(Vec::new()),
            };
            let all = |collection, names: &[&str]| -> VecDeque<Piece> {
                names.iter().map(|name| Piece::Member(collection, (*name).to_owned())).collect()
            };
            match members(expression::Variable::Query) {
                Ok(names) => self.show(key, all(Collection::RequestQuery, &names)),
                Err(_) => self.show(key, [Piece::Variable(Variable::Query)].into()),
            }
            // All lines of a field and all cookies of a name, as conditions see them.
            let headers = members(expression::Variable::Headers)?;
            let cookies = members(expression::Variable::Cookies)?;
            add(&mut key.headers, &headers);
            add(&mut key.cookies, &cookies);
            add(&mut key.claims, &members(expression::Variable::Claims)?);
            self.show(key, all(Collection::RequestHeaders, &headers));
            self.show(key, all(Collection::RequestCookies, &cookies));
        }
        Ok(())
    }

    /// Adds these holes to a key, and those from which they are filled.
    fn show(self, key: &mut KeyRules, mut open: VecDeque<Piece>) {
        let mut seen: Vec<Piece> = Vec::new();
        while let Some(piece) = open.pop_front() {
            if seen.contains(&piece) {
                continue;
            }
            open.extend(self.sources(piece.base()));
            if !shows(key, &piece) {
                key.values.push(Template::from(piece.clone()));
            }
            seen.push(piece);
        }
    }

    /// What policies have put in the place of a field or a cookie by the time that a template takes it.
    fn sources(self, piece: &Piece) -> Vec<Piece> {
        let Piece::Member(collection @ (Collection::RequestHeaders | Collection::RequestCookies), name) = piece else {
            return Vec::new();
        };
        let is_cookie = *collection == Collection::RequestCookies;
        let field = if is_cookie { "cookie" } else { name.as_str() };
        let mut sources = Vec::new();
        for policy in self.policies {
            match policy {
                Policy::Headers(headers) => {
                    let edits = &headers.request;
                    let written = edits.written().filter(|(written, _)| *written == field);
                    sources.extend(written.flat_map(|(_, value)| value.pieces()).cloned());
                    let renamed = edits.rename.iter().filter(|(_, to)| to == field);
                    sources.extend(renamed.map(|(from, _)| Piece::Member(Collection::RequestHeaders, from.clone())));
                }
                Policy::Transform(transform) if field == "cookie" => {
                    let edits = &transform.request.cookies;
                    let is_it = |cookie: &str| !is_cookie || cookie == name;
                    let written = edits.written().filter(|(written, _)| is_it(written));
                    sources.extend(written.flat_map(|(_, value)| value.pieces()).cloned());
                    let renamed = edits.rename.iter().filter(|(_, to)| is_it(to));
                    sources.extend(renamed.map(|(from, _)| Piece::Member(Collection::RequestCookies, from.clone())));
                }
                _ => {}
            }
        }
        sources
    }

    /// The templates by which an upstream's answer, or what is stored of it, may differ.
    fn templates(self) -> impl Iterator<Item = &'p Template> {
        let mut all: Vec<&Template> = Vec::new();
        for policy in self.policies {
            match policy {
                Policy::Headers(headers) => all.extend(headers.response.templates()),
                Policy::Transform(transform) => self.of_transform(transform, &mut all),
                Policy::Links(links) => of_links(links, &mut all),
                _ => {}
            }
        }
        if let Some(action) = self.action {
            of_action(action, &mut all);
        }
        all.into_iter()
    }

    fn of_transform(self, transform: &'p Transform, all: &mut Vec<&'p Template>) {
        all.extend(transform.request.query.written().map(|(_, value)| value));
        all.extend(transform.response.cookies.added().map(|cookie| &cookie.value));
        let request = transform.request.body.as_ref().filter(|_| self.with_bodies);
        request.into_iter().chain(&transform.response.body).for_each(|rules| of_rules(rules, all));
    }
}

/// Whether a key shows what fills a hole. Times are no part of it: for how long an answer counts is said otherwise.
fn shows(key: &KeyRules, piece: &Piece) -> bool {
    if key.values.iter().any(|known| matches!(known.pieces(), [known] if known == piece)) {
        return true;
    }
    match piece {
        // What the client has asked for: its path stands in the key, and the body where one may.
        Piece::Text(_) | Piece::Reference(_) | Piece::Parameter(_) | Piece::Document(_) => true,
        // They are looked at one by one.
        Piece::Piped(piece, _) => shows(key, piece),
        Piece::Variable(variable) => match variable {
            Variable::Method
            | Variable::Path
            | Variable::Route
            | Variable::Upstream
            | Variable::Status
            | Variable::Seconds
            | Variable::Iso
            | Variable::HttpDate
            | Variable::RpcMethod
            | Variable::GraphqlOperation
            | Variable::GraphqlKind
            | Variable::GraphqlCost => true,
            Variable::Scheme | Variable::Host => key.host,
            Variable::Query => key.query == Query::All && !key.sorted,
            Variable::Address
            | Variable::Country
            | Variable::DataCentre
            | Variable::CertificateSubject
            | Variable::CertificateIssuer
            | Variable::CertificateFingerprint
            | Variable::CertificateSerial
            | Variable::Consumer
            | Variable::Groups
            | Variable::Credential
            | Variable::Subject
            | Variable::Issuer
            | Variable::Scopes => false,
        },
        Piece::Member(collection, name) => match collection {
            Collection::RequestHeaders => key.headers.contains(name),
            Collection::RequestCookies => key.cookies.contains(name),
            Collection::Claims => key.claims.contains(name),
            Collection::ResponseHeaders => true,
            Collection::RequestQuery => match &key.query {
                Query::All => true,
                Query::Only(names) => names.contains(name),
                Query::None | Query::Except(_) => false,
            },
        },
    }
}

/// What conditions call otherwise than templates, or may do.
const HOLES: [(expression::Variable, Variable); 14] = [
    (expression::Variable::Scheme, Variable::Scheme),
    (expression::Variable::Host, Variable::Host),
    (expression::Variable::Address, Variable::Address),
    (expression::Variable::Country, Variable::Country),
    (expression::Variable::DataCentre, Variable::DataCentre),
    (expression::Variable::CertificateSubject, Variable::CertificateSubject),
    (expression::Variable::CertificateIssuer, Variable::CertificateIssuer),
    (expression::Variable::CertificateFingerprint, Variable::CertificateFingerprint),
    (expression::Variable::CertificateSerial, Variable::CertificateSerial),
    (expression::Variable::Consumer, Variable::Consumer),
    (expression::Variable::Groups, Variable::Groups),
    (expression::Variable::Subject, Variable::Subject),
    (expression::Variable::Issuer, Variable::Issuer),
    (expression::Variable::Scopes, Variable::Scopes),
];

fn add(known: &mut Vec<String>, names: &[&str]) {
    for name in names {
        if !known.iter().any(|known| known == name) {
            known.push((*name).to_owned());
        }
    }
}

fn of_links<'p>(links: &'p Links, all: &mut Vec<&'p Template>) {
    let texts = links.replace.iter().chain(&links.cookie_domains).chain(&links.cookie_paths);
    all.extend(texts.map(|(_, to)| to));
    links.body.iter().for_each(|rules| of_rules(rules, all));
}

fn of_rules<'p>(rules: &'p Rules, all: &mut Vec<&'p Template>) {
    all.extend(rules.steps.template.iter().flat_map(Blueprint::templates));
    all.extend(rules.steps.edits.iter().flat_map(Edit::templates));
}

fn of_action<'p>(action: &'p Action, all: &mut Vec<&'p Template>) {
    if let Some(PathChange::Rewrite(path)) = action.forward().map(|forward| &forward.path) {
        all.push(path);
    }
    match action {
        Action::Graphql(stored) => all.extend(stored.templates()),
        Action::Soap(soap) => all.extend(soap.templates()),
        Action::JsonRpc(call) => all.extend(call.params.iter().flat_map(Blueprint::templates)),
        Action::Compose(compose) => all.extend(compose::templates(compose)),
        // The target says it all, or nothing of what they answer is stored.
        Action::Forward(_)
        | Action::Grpc(_)
        | Action::Mcp(_)
        | Action::ProtectedResource(_)
        | Action::Redirect(_)
        | Action::Respond(_)
        | Action::IdentityKeys
        | Action::Serve(_)
        | Action::Purge
        | Action::Batch(_) => {}
    }
}
