//! What templates say of the caller: something must have asked who that is.
//!
//! A policy that several routes share may well stand on some where nobody is asked, so it is wrong only where that is so on all of
//! them: then what it says is nothing, always, and whoever wrote it does not mean that.

use std::collections::HashMap;

use super::super::{
    problem::{Problem, Span},
    written::{self, AuthenticationMethod},
};
use super::{Compile, RouteCompiler};
use crate::template::{Collection, Piece, Variable, function::Function};

/// What is said of callers, by its places, each with the problem that it is unless one of its routes knows them.
pub(super) type Sayings = HashMap<Span, Option<Problem>>;

/// What something says of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Which consumer it is.
    Consumer,
    /// Who it is to somebody else.
    Subject,
    /// What a token says.
    Token,
}

impl RouteCompiler<'_, '_> {
    /// What a piece of a template says of the caller must be known where it is filled in: on the way in, by the policies before.
    pub(super) fn knows_caller(&mut self, piece: &Piece, at: Span, on_the_way_back: bool) {
        let said = match piece.base() {
            Piece::Variable(Variable::Consumer | Variable::Groups | Variable::Credential) => Said::Consumer,
            Piece::Variable(Variable::Subject) => Said::Subject,
            Piece::Variable(Variable::Issuer | Variable::Scopes) | Piece::Member(Collection::Claims, _) => Said::Token,
            Piece::Text(_)
            | Piece::Parameter(_)
            | Piece::Variable(_)
            | Piece::Reference(_)
            | Piece::Member(..)
            | Piece::Document(_)
            | Piece::Piped(..) => return,
        };
        let has_default = matches!(piece, Piece::Piped(_, functions) if functions.iter().any(|one| matches!(one, Function::Default(_))));
        // What is wrong with policies has been reported, and they may be the ones that ask.
        if has_default || self.defined.node.damaged || self.all.loaded.incomplete {
            return;
        }
        let place = self.all.part(at, &piece.to_string());
        let before = self.policy.filter(|_| !on_the_way_back).unwrap_or(usize::MAX);
        let policies = || self.defined.written.policies.iter().flatten();
        if policies().take(before).any(|policy| says(policy, said)) {
            self.all.sayings.insert(place, None);
            return;
        }
        let name = piece.base();
        let (message, help) = if policies().any(|policy| says(policy, said)) {
            (
                format!("who is calling is not known yet, so `{name}` is always empty"),
                "put this behind `authenticate`".to_owned(),
            )
        } else if said != Said::Consumer && policies().any(|policy| says(policy, Said::Consumer)) {
            let message = format!("`{name}` is of tokens, and no way in here takes one");
            (message, "add `jwt`, `introspection` or `login` to `authenticate`".to_owned())
        } else {
            let message = format!("`{name}` is of the caller, and nobody here asks who that is");
            (message, "put an `authenticate` before it".to_owned())
        };
        let inner = name.to_string();
        let inner = inner.trim_start_matches('{').trim_end_matches('}');
        let help = format!("{help}; or say what stands here otherwise: `{{{inner} | default: \"none\"}}`");
        self.all
            .sayings
            .entry(place)
            .or_insert_with(|| Some(Problem::error("unknown-reference", place, message).help(help)));
    }
}

impl Compile<'_> {
    /// What is said of callers on routes that know none.
    pub(super) fn callers_are_known(&mut self) {
        let sayings = std::mem::take(&mut self.sayings);
        self.problems.extend(sayings.into_values().flatten());
    }
}

/// Whether a policy says that of callers.
fn says(policy: &written::Policy, said: Said) -> bool {
    match policy {
        written::Policy::Authenticate(policy) => {
            let mut ways = policy.any_of.iter().chain(&policy.all_of).flat_map(|ways| &ways.0);
            ways.any(|way| match way {
                AuthenticationMethod::Introspection(_)
                | AuthenticationMethod::Jwt(_)
                | AuthenticationMethod::Login(_) => true,
                AuthenticationMethod::ApiKey(_)
                | AuthenticationMethod::Basic(_)
                | AuthenticationMethod::ClientCertificate(_)
                | AuthenticationMethod::HmacAuth(_)
                | AuthenticationMethod::Signature(_) => said == Said::Consumer,
                AuthenticationMethod::Anonymous => false,
            })
        }
        // What another service says of a caller is no token's.
        _ => policy.asks_who_calls() && said != Said::Token,
    }
}
