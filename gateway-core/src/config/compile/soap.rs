//! SOAP messages: from what was written to what runs.

use super::super::{
    node::{Node, Step::Field, Value},
    problem::Problem,
    written,
};
use super::{RouteCompiler, graphql::MESSAGE};
use crate::{
    forward::{Forward, PathChange},
    route::Matcher,
    shape::{Path, query::Query, xml},
    soap::{Content, Soap, Version},
    template::{Piece, Template},
    translate::Wanted,
};

impl RouteCompiler<'_, '_> {
    pub(super) fn soap(&mut self, forward: Forward, paths: &[Matcher]) -> Option<Soap> {
        let written = self.defined.written.soap.as_ref()?;
        let node = self.defined.node.get("soap")?;
        self.translates("soap");
        self.all.features.extend(["soap", "formats", "shaping", "validation", "regex"]);
        let path = self.target(&written.path.0, node.place([Field("path")]), paths);
        let action = written
            .action
            .as_ref()
            .and_then(|action| self.value_in(&action.0, node.place([Field("action")]), paths, MESSAGE));
        if let Some(action) = &action
            && action.pieces().iter().any(
                |piece| matches!(piece, Piece::Text(text) if text.contains(|c: char| c == '"' || c == '\\' || !c.is_ascii_graphic())),
            )
        {
            let problem = Problem::error("bad-url", node.place([Field("action")]), "an action is an address");
            self.all.problems.push(problem.help("write it without spaces, quotes and backslashes"));
        }
        let header = node.get("header").and_then(|header| self.soap_content(header, paths));
        let content = node.get("body").and_then(|body| self.soap_content(body, paths));
        let query = written.query.as_ref().and_then(|query| Query::parse(&query.0).ok());
        if query.is_some() {
            self.all.features.insert("queries");
        }
        let paths = written.lists.iter().flat_map(|lists| &lists.0);
        let mut soap = Soap {
            forward: Forward { path: PathChange::Rewrite(path?), websocket: None, ..forward },
            version: match written.version {
                None | Some(written::SoapVersion::One) => Version::One,
                Some(written::SoapVersion::Two) => Version::Two,
            },
            action,
            header,
            content: content?,
            reads_body: false,
            request_limit: written.max_request.map_or(1 << 20, |size| size.bytes),
            answer_limit: written.max_response.map_or(4 << 20, |size| size.bytes),
            keeps_namespaces: written.namespaces == Some(written::SoapNamespaces::Keep),
            lists: paths.filter_map(|path| Path::parse(&path.0)).collect(),
            wanted: Wanted { pick: written.pick.as_ref().and_then(|path| Path::parse(&path.0)), query },
            statuses: written
                .faults
                .iter()
                .flat_map(|faults| &faults.0)
                .map(|(code, status)| (code.clone(), status.0))
                .collect(),
            tells_details: written.fault_details == Some(true),
        };
        let reads_body = soap.templates().any(|template| template.has(|piece| matches!(piece, Piece::Document(_))));
        soap.reads_body = reads_body;
        Some(soap)
    }

    /// A part of the envelope: XML in a text, or a value that becomes XML.
    fn soap_content(&mut self, node: &Node, paths: &[Matcher]) -> Option<Content> {
        match &node.value {
            Value::Text(text) => {
                let template = match Template::parse(text) {
                    Ok(_) => self.text_in(text, node.at, paths, MESSAGE)?,
                    // Nobody has looked at these texts before.
                    Err(error) => {
                        let at = self.all.part(node.at, &text[error.at..(error.at + error.length).min(text.len())]);
                        self.all.problems.push(Problem::error("bad-template", at, error.message));
                        return None;
                    }
                };
                // What fills a hole is escaped. With something escaped in all of them this is XML, unless one is in the middle of
                // a name or of a tag; and all of that comes out again as it was before, unless one is in a comment or in CDATA.
                let pieces = template.pieces();
                let tried: String = pieces
                    .iter()
                    .map(|piece| if let Piece::Text(text) = piece { text.as_str() } else { "&lt;\u{E000}" })
                    .collect();
                let holes = pieces.iter().filter(|piece| !matches!(piece, Piece::Text(_))).count();
                let read = xml::read(&format!("<soap:Body>{tried}</soap:Body>"));
                if read.is_ok_and(|read| read.to_text().matches("<\u{E000}").count() == holes) {
                    return Some(Content::Xml(template));
                }
                let problem = Problem::error("bad-xml", node.at, "this is not XML that can stand in a message");
                let help = "values stand between tags, or in the quotes of an attribute; none in a comment or in CDATA";
                self.all.problems.push(problem.help(help));
                None
            }
            Value::Map(_) => self.blueprint(node, paths, MESSAGE).map(Content::Json),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) => {
                let problem = Problem::error("bad-xml", node.at, "this is no element");
                self.all
                    .problems
                    .push(problem.help("write XML, or a map from the name of an element to what is in it"));
                None
            }
        }
    }
}
