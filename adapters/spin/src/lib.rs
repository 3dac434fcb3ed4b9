//! Postern on Spin: the entry.

mod claims;
mod config;
mod counters;
mod http;
#[cfg(feature = "telemetry")]
mod ledgers;
mod platform;
mod redis;
#[cfg(feature = "cache")]
mod shelf;

use gateway_core::Reply;
use gateway_core::error::Error;
use gateway_core::gateway::Note;
use gateway_core::instance::Served;
use platform::Spin;
use spin_sdk::wasip3::exports::http::handler::Guest;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};
use spin_sdk::wasip3::{self, spawn};
use std::io::Write;
use std::rc::Rc;

struct Postern;

wasip3::http::service::export!(Postern);

impl Guest for Postern {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let reply = match config::instance().await {
            Ok(instance) => {
                let Served { mut reply, by } = instance.handle(&Spin, http::read_request(request)).await;
                let (later, now) = http::after_the_body(&reply.response, std::mem::take(&mut reply.deferred));
                if !now.is_empty() {
                    let by = Rc::clone(&by);
                    spawn(async move { log(instance.settle(&Spin, &by, now).await).await });
                }
                if !later.is_empty() {
                    let settled = async move { log(instance.settle(&Spin, &by, later).await).await };
                    reply.response.body = http::watch(reply.response.body, settled);
                }
                reply
            }
            Err(problem) => {
                let reason = format!("the gateway cannot start: {problem}");
                Reply::fail(&Spin, Error::Internal { reason: reason.clone() }, None, reason)
            }
        };
        if !reply.notes.is_empty() {
            spawn(log(reply.notes));
        }
        http::write_response(reply.response)
    }
}

/// Writes the notes, after the answer: nobody waits for the log.
async fn log(notes: Vec<Note>) {
    log_now(&notes);
}

fn log_now(notes: &[Note]) {
    for note in notes {
        match serde_json::to_string(note) {
            Ok(line) => write_line(&line),
            Err(error) => eprintln!("postern: a note could not be written: {error}"),
        }
    }
}

/// Writes a line for the log in one piece: other instances write to the same place.
fn write_line(line: &str) {
    // A log that takes nothing has nobody to tell.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
