//! The `postern` command line: everything around a gateway but the gateway itself.

#![allow(clippy::disallowed_methods, reason = "a native tool has a clock")]

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, Key, Password};
use crate::outcome::{Failure, Outcome};

mod arguments;

mod check;
mod compile;
mod dev;
mod diff;
mod explain;
mod import;
mod init;
mod key;
mod operate;
mod password;
mod reference;
mod replay;
mod sign;
mod tail;
mod top;

mod admin;
mod configuration;
mod outcome;
mod report;
mod secrets;
mod store;
mod terminal;
mod traffic;
mod versions;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let colour = arguments.colour;
    match run(arguments) {
        Ok(outcome) => outcome.into(),
        // Whoever reads the output has seen enough, as in `postern schema | head`.
        Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Told(why)) => {
            report::failure(&why, colour);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<Outcome, Failure> {
    let colour = arguments.colour;
    match arguments.command {
        Command::Check(options) => check::run(&options, colour),
        Command::Compile(options) => compile::run(&options, colour),
        Command::Explain(options) => explain::run(&options, colour),
        Command::Push(options) => versions::push(&options, colour),
        Command::Status(options) => versions::status(&options, colour),
        Command::Rollback(options) => versions::rollback(&options, colour),
        Command::Diff(options) => diff::run(&options, colour),
        Command::Replay(options) => replay::run(&options, colour),
        Command::Schema => reference::schema(),
        Command::Reference { policies: Some(folder) } => reference::policies(&folder),
        Command::Reference { policies: None } => reference::markdown(),
        Command::Init(options) => init::run(&options),
        Command::Import(options) => import::run(&options, colour),
        Command::Key(Key::New(options)) => key::new(&options),
        Command::Key(Key::Hash(options)) => key::hash(&options),
        Command::Key(Key::Write(options)) => store::write(&options),
        Command::Key(Key::Revoke(options)) => store::revoke(&options),
        Command::Password(Password::Hash(options)) => password::hash(&options),
        Command::Sign(options) => sign::run(&options),
        Command::Tail(options) => tail::run(&options, colour),
        Command::Top(options) => top::run(&options, colour),
        Command::Admin(options) => operate::run(&options),
        Command::Purge(options) => operate::purge(&options),
        Command::Dev(options) => dev::run(&options, colour),
        Command::Completions { shell } => arguments::completions(shell),
    }
}
