//! A JSON value with holes: `{ id: "{body.user.id}", by: "{consumer.name}" }`.

use super::value::Value;
use crate::template::function::{Function, is_number};
use crate::template::{Fill, Piece, Scope, Template};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a value is to be like.
///
/// A string that is one hole and nothing else becomes what fills it: a part of a document with its own type, and nothing at
/// all where there is nothing. Members and items that come to nothing are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Blueprint {
    /// A number, `true`, `false` or `null`, as JSON writes it.
    #[serde(rename = "r")]
    Raw(String),
    /// A string, perhaps with holes.
    #[serde(rename = "t")]
    Text(Template),
    /// A list.
    #[serde(rename = "l")]
    List(Vec<Blueprint>),
    /// An object.
    #[serde(rename = "o")]
    Object(Vec<(String, Blueprint)>),
}

impl Blueprint {
    /// The value, with every hole filled. `None` where it is a hole, and nothing fills it.
    pub fn build<'s>(&'s self, source: &'s (impl Fill + ?Sized)) -> Option<Value<'s>> {
        Some(match self {
            Blueprint::Raw(raw) => Value::Raw(raw.into()),
            Blueprint::List(items) => Value::List(items.iter().filter_map(|item| item.build(source)).collect()),
            Blueprint::Object(members) => {
                let members = members.iter().filter_map(|(name, value)| Some((name.into(), value.build(source)?)));
                Value::Object(members.collect())
            }
            Blueprint::Text(template) => match template.pieces() {
                [Piece::Document(path)] => source.part(path)?,
                [Piece::Text(text)] => Value::Text(text.into()),
                [piece] => written(piece, source.value(piece)?),
                _ => Value::Text(template.render_with(source, |text, out| out.push_str(text)).into()),
            },
        })
    }

    /// The templates in it.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Blueprint::Raw(_) => Vec::new(),
            Blueprint::Text(template) => vec![template],
            Blueprint::List(items) => items.iter().flat_map(Blueprint::templates).collect(),
            Blueprint::Object(members) => members.iter().flat_map(|(_, value)| value.templates()).collect(),
        }
    }

    /// The same with everything filled in that is known now: what is left are parts of documents.
    pub fn bind(&self, scope: &Scope<'_>) -> Option<Self> {
        Some(match self {
            Blueprint::Raw(raw) => Blueprint::Raw(raw.clone()),
            Blueprint::List(items) => Blueprint::List(items.iter().filter_map(|item| item.bind(scope)).collect()),
            Blueprint::Object(members) => {
                let members = members.iter().filter_map(|(name, value)| Some((name.clone(), value.bind(scope)?)));
                Blueprint::Object(members.collect())
            }
            Blueprint::Text(template) => match template.pieces() {
                [piece] if !matches!(piece.base(), Piece::Document(_) | Piece::Text(_)) => {
                    match written(piece, scope.value(piece)?) {
                        Value::Raw(raw) => Blueprint::Raw(raw.into_owned()),
                        value => Blueprint::Text(Template::literal(value.into_plain().unwrap_or_default())),
                    }
                }
                _ => Blueprint::Text(template.bind(scope)),
            },
        })
    }
}

/// What ends as a number stands without quotes.
fn written<'s>(piece: &Piece, text: Cow<'s, str>) -> Value<'s> {
    match piece {
        Piece::Piped(_, functions) if functions.contains(&Function::Number) && is_number(&text) => Value::Raw(text),
        _ => Value::Text(text),
    }
}
