//! Postern on Cloudflare Workers: the entry.
//!
//! The glue (`glue/`) packs a request into [`input`] and calls [`begin`]; the gateway's future is polled right here, and
//! what it waits for comes back as commands, which the glue performs before it calls [`resume`]. Numbers are all that
//! crosses otherwise, so a crossing costs nanoseconds.

pub mod config;
mod exchanges;
pub mod http;
pub mod platform;
mod pumps;
pub mod random;
#[cfg(feature = "cache")]
pub mod shelf;
#[cfg(feature = "rollout")]
mod versions;

use crate::http::Commands;
use bytes::Bytes;
use exchanges::Running;
use gateway_core::Gateway;
use gateway_core::certificate::CertificateSource;
use gateway_core::gateway::Note;
use gateway_core::http::Body;
use gateway_core::instance::{Instance, Served};
#[cfg(feature = "telemetry")]
use gateway_core::ledger::Ledger;
use gateway_core::platform::Patience;
use gateway_core::policy::Deferred;
use gateway_core::pump::Broken;
use platform::{Exchange, Stream, Workers};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// Reads the artefact, with the values of its references from the Worker's environment. Without a gateway every request
/// gets a 500, and the log says once what is missing.
#[wasm_bindgen]
pub fn load(artefact: Vec<u8>, env: JsValue) {
    // The trap that follows says where, not why.
    std::panic::set_hook(Box::new(|panic| log(&format!("postern: {panic}"))));
    let loaded = match config::load(artefact, env) {
        Ok(instance) => Loaded::Instance(Box::leak(Box::new(instance))),
        Err(problem) => {
            log(&format!("postern cannot start: {problem}"));
            Loaded::Failed
        }
    };
    INSTANCE.set(loaded);
}

/// Where the glue writes what it packs: at least so many bytes, valid until the next call of this function.
#[wasm_bindgen]
pub fn input(size: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        if input.len() < size {
            input.resize(size, 0);
        }
        input.as_mut_ptr()
    })
}

/// Where the glue reads what there is to do: address and length of the commands' numbers, of their text, and of the body in
/// memory.
#[wasm_bindgen]
pub fn output() -> *const u32 {
    OUTPUT.as_ptr().cast()
}

/// Whether the configuration asks for clients' certificates: the glue packs them only then.
#[wasm_bindgen]
pub fn reads_certificates() -> bool {
    match INSTANCE.get() {
        Loaded::Instance(instance) => instance.bundled().globals().certificates == CertificateSource::Platform,
        Loaded::Failed => false,
    }
}

/// Takes the request of so many packed bytes. Gives 0 when the commands hold the answer, else the request's number.
#[wasm_bindgen]
pub fn begin(length: usize, has_body: bool, now: f64) -> u32 {
    let incoming = INPUT.with_borrow(|input| http::read_request(&input[..length], has_body, reads_certificates()));
    let exchange = Rc::new(Exchange::default());
    exchange.enter(now as u64);
    let (Loaded::Instance(instance), Some(incoming)) = (INSTANCE.get(), incoming) else {
        return answer(&exchange, None);
    };
    let platform = Workers::new(Rc::clone(&exchange));
    let future = Box::pin(async move { Some(instance.handle(&platform, incoming).await) });
    proceed(Running { exchange, future })
}

/// Takes what a call brought: a response's status with its packed header fields, or the code of a failure. Gives what
/// [`begin`] gives, and a number that is another one.
#[wasm_bindgen]
pub fn resume(number: u32, call: u32, status: u32, length: usize, now: f64) -> u32 {
    let Some(running) = exchanges::take(number) else {
        return answer(&Exchange::default(), None);
    };
    running.exchange.enter(now as u64);
    INPUT.with_borrow(|input| running.exchange.settle(call, status, &input[..length]));
    proceed(running)
}

/// Does what a reply has left to do, once that was sent. Gives what [`begin`] gives; 0 is the end of it.
#[wasm_bindgen]
pub fn settle(number: u32, now: f64) -> u32 {
    match exchanges::take(number) {
        Some(running) => {
            running.exchange.enter(now as u64);
            proceed(running)
        }
        None => over(),
    }
}

/// Changes counters or marks of purges as ordered, for whoever keeps them: in the input stand the order, and behind it what was kept
/// (or nothing).
/// Shows four lines: the decision, until when what is to be kept says something, whether it must survive (`1` or `0`), and what
/// is to be kept. Shows nothing when it cannot read the order.
#[wasm_bindgen]
pub fn decide(order: usize, kept: usize, now: f64) {
    let step = INPUT.with_borrow(|input| {
        let (order, kept, now) = (&input[..order], &input[order..order + kept], now as u64);
        #[cfg(feature = "cache")]
        if let Some(step) = gateway_core::cache::purge::perform_in_text(order, kept, now) {
            return Some(step);
        }
        gateway_core::quota::perform_in_text(order, kept, now)
    });
    show(Commands { numbers: Vec::new(), text: step.unwrap_or_default() }, Bytes::new());
}

/// Adds to a ledger of all instances, for whoever keeps it: in the input stand its name, what was kept (or nothing), and what is
/// added. Shows what is to be kept; of a ledger that is not known, what was kept.
#[cfg(feature = "telemetry")]
#[wasm_bindgen]
pub fn merge(name: usize, kept: usize, added: usize) {
    let merged = INPUT.with_borrow(|input| {
        let (name, rest) = input.split_at(name);
        let (kept, added) = (&rest[..kept], &rest[kept..kept + added]);
        let ledger = std::str::from_utf8(name).ok().and_then(Ledger::named);
        ledger.map_or_else(|| kept.to_vec(), |ledger| ledger.merge(kept, added))
    });
    show(Commands { numbers: Vec::new(), text: String::from_utf8_lossy(&merged).into_owned() }, Bytes::new());
}

/// Whether somebody has to check targets.
#[wasm_bindgen]
pub fn has_checks() -> bool {
    match INSTANCE.get() {
        Loaded::Instance(instance) => instance.has_checks(),
        Loaded::Failed => false,
    }
}

/// Checks all targets that are due, for the object that keeps what was found and has put it into the input. Gives what [`begin`]
/// gives; in the end the commands' text is what `Gateway::check` gives.
#[wasm_bindgen]
pub fn check(length: usize, now: f64) -> u32 {
    #[cfg(feature = "checks")]
    if let Loaded::Instance(instance) = INSTANCE.get() {
        let kept = INPUT.with_borrow(|input| String::from_utf8_lossy(&input[..length]).into_owned());
        let exchange = Rc::new(Exchange::default());
        exchange.enter(now as u64);
        let (platform, tells) = (Workers::new(Rc::clone(&exchange)), Rc::clone(&exchange));
        let future = Box::pin(async move {
            let (text, notes) = instance.check(&platform, &kept).await;
            write_notes(&notes);
            tells.conclude(text);
            None
        });
        return proceed(Running { exchange, future });
    }
    let _ = (length, now);
    over()
}

/// Does what the keeper of a claim is ordered to do: in the input stand the order, and behind it what was kept (or nothing). Shows
/// three lines: the verdict, until when what is to be kept says something, and what is to be kept (or nothing). Shows nothing
/// when it cannot read the order.
#[cfg(feature = "idempotency")]
#[wasm_bindgen]
pub fn claim(order: usize, kept: usize, now: f64) {
    let step = INPUT.with_borrow(|input| {
        gateway_core::claim::perform_in_text(&input[..order], &input[order..order + kept], now as u64)
    });
    show(Commands { numbers: Vec::new(), text: step.unwrap_or_default() }, Bytes::new());
}

/// Does what the owner of the configuration's versions is ordered to do: in the input stand the order, and behind it what was kept (or
/// nothing). Shows three lines: the verdict, what is to be kept (nothing where that has not changed), and the versions to forget.
/// Shows nothing when it cannot read the order.
#[cfg(feature = "rollout")]
#[wasm_bindgen]
pub fn roll_out(order: usize, kept: usize, now: f64) {
    let step = INPUT.with_borrow(|input| {
        gateway_core::rollout::standing::perform_in_text(&input[..order], &input[order..order + kept], now as u64)
    });
    show(Commands { numbers: Vec::new(), text: step.unwrap_or_default() }, Bytes::new());
}

/// Shows, beside the commands, the body in memory of a call that waits.
#[wasm_bindgen]
pub fn body(number: u32, call: u32) {
    // The exchange keeps the bytes where they are.
    let body = exchanges::look(number, |exchange| exchange.body(call)).unwrap_or_default();
    place(4, body.as_ptr().addr(), body.len());
}

/// Takes so many bytes of a body that changes on its way, and shows what comes out where a body in memory would stand. Gives
/// false where the body breaks off.
#[wasm_bindgen]
pub fn pump(number: u32, length: usize) -> bool {
    show_body(INPUT.with_borrow(|input| pumps::push(number, &input[..length])))
}

/// Ends such a body, and shows the rest of it. Gives false where it breaks off.
#[wasm_bindgen]
pub fn drain(number: u32) -> bool {
    show_body(pumps::finish(number))
}

/// Gives up such a body.
#[wasm_bindgen]
pub fn stop(number: u32) {
    pumps::forget(number);
}

/// Notes that the glue has broken a body off because it stood still for so many milliseconds; 0: because the client's deadline was
/// over.
#[wasm_bindgen]
pub fn broke_off(idle: u32) {
    let broken = match idle {
        0 => Broken(Patience::LATE.to_owned()),
        idle => Patience::stalled(Duration::from_millis(idle.into())),
    };
    write_notes(&[Note::broken(&broken)]);
}

/// How many such bodies are under way: for tests of what is left behind.
#[wasm_bindgen]
pub fn pumping() -> usize {
    pumps::count()
}

/// Gives up a request that the glue knows to be over.
#[wasm_bindgen]
pub fn forget(number: u32) {
    drop(exchanges::take(number));
}

/// How many requests wait for the glue: for tests of what is left behind.
#[wasm_bindgen]
pub fn waiting() -> usize {
    exchanges::count()
}

#[derive(Clone, Copy)]
enum Loaded {
    Instance(&'static Instance),
    Failed,
}

static OUTPUT: [AtomicU32; 6] = [const { AtomicU32::new(0) }; 6];

thread_local! {
    static INSTANCE: Cell<Loaded> = const { Cell::new(Loaded::Failed) };
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static SHOWN: Cell<Option<(Commands, Bytes)>> = const { Cell::new(None) };
}

/// Polls the gateway once. Nobody is woken: the glue comes back by itself when there is news.
fn proceed(mut running: Running) -> u32 {
    match running.poll() {
        Some(Some(served)) => answer(&running.exchange, Some(served)),
        Some(None) => {
            // What was said last, and nobody waits for, has to be done all the same.
            let (commands, text) = (running.exchange.commands(), running.exchange.conclusion());
            let told = Commands { numbers: Vec::new(), text };
            show(if told.text.is_empty() { commands } else { told }, Bytes::new());
            0
        }
        None if running.exchange.waits() => {
            show(running.exchange.commands_of_one_that_waits(), Bytes::new());
            exchanges::keep(running)
        }
        // A future that waits for nothing the glue could bring would never end.
        None => answer(&running.exchange, None),
    }
}

/// Shows that there is nothing more to do.
fn over() -> u32 {
    show(Commands::default(), Bytes::new());
    0
}

/// Shows the reply; without one, that the gateway failed.
fn answer(exchange: &Exchange, served: Option<Served<Stream>>) -> u32 {
    let mut commands = exchange.commands();
    let body = match served {
        Some(Served { reply, by }) => {
            write_notes(&reply.notes);
            if let (Loaded::Instance(instance), false) = (INSTANCE.get(), reply.deferred.is_empty()) {
                let (later, now): (Vec<_>, Vec<_>) = reply.deferred.into_iter().partition(Deferred::waits_for_the_body);
                // What makes the body is done at once, and with it what waits for that.
                let makes = matches!(reply.response.body, Body::Made(_));
                if !now.is_empty() {
                    let mut settling = afterwards(exchange, instance, &by, now);
                    if makes {
                        http::write_made(&mut commands, exchanges::keep(settling));
                    // What waits for nothing is done here: a task of the runtime's costs more than all of it.
                    } else if settling.poll().is_none() {
                        http::write_afterwards(&mut commands, exchanges::keep(settling));
                    } else if settling.exchange.has_commands() {
                        settling.future = Box::pin(std::future::ready(None));
                        http::write_afterwards(&mut commands, exchanges::keep(settling));
                    }
                }
                if !later.is_empty() {
                    http::write_after_the_body(
                        &mut commands,
                        exchanges::keep(afterwards(exchange, instance, &by, later)),
                    );
                }
            }
            http::write_reply(&mut commands, reply.response)
        }
        None => {
            http::write_failure(&mut commands);
            Bytes::new()
        }
    };
    show(commands, body);
    0
}

/// What is left to do, not begun yet.
fn afterwards(before: &Exchange, instance: &'static Instance, by: &Rc<Gateway>, deferred: Vec<Deferred>) -> Running {
    let exchange = Rc::new(Exchange::after(before));
    let (platform, by) = (Workers::new(Rc::clone(&exchange)), Rc::clone(by));
    let future = Box::pin(async move {
        write_notes(&instance.settle(&platform, &by, deferred).await);
        None
    });
    Running { exchange, future }
}

fn write_notes(notes: &[Note]) {
    notes.iter().filter_map(|note| serde_json::to_string(note).ok()).for_each(|line| log(&line));
}

fn show(commands: Commands, body: Bytes) {
    place(0, commands.numbers.as_ptr().addr(), commands.numbers.len());
    place(2, commands.text.as_ptr().addr(), commands.text.len());
    place(4, body.as_ptr().addr(), body.len());
    SHOWN.set(Some((commands, body)));
}

fn show_body(body: Option<Vec<u8>>) -> bool {
    let is_there = body.is_some();
    show(Commands::default(), Bytes::from(body.unwrap_or_default()));
    is_there
}

fn place(at: usize, address: usize, length: usize) {
    OUTPUT[at].store(address as u32, Ordering::Relaxed);
    OUTPUT[at + 1].store(length as u32, Ordering::Relaxed);
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn log(line: &str);

    /// Writes a line of the access log.
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    fn print(line: &str);
}
