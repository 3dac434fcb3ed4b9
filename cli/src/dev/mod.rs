//! `postern dev`: runs the gateway here, on the real runtime, and reloads it when its configuration changes.
//!
//! ```text
//! compile ─▶ build what is missing ─▶ start the runtime ─▶ wait until it answers ─▶ `ready`
//!    ▲                                                                                 │
//!    └── reload ◀── a file of the configuration has changed ◀── every 200 ms ◀─────────┘
//! ```

mod folder;
mod repository;
mod runtime;
pub mod variables;
mod watch;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway_core::Gateway;
use gateway_core::config::{self, Options};

use self::folder::Folder;
use self::repository::Repository;
use self::runtime::{Answers, Running, Status};
use self::variables::Variables;
use self::watch::Watch;
use crate::arguments::{Dev, Runtime};
use crate::configuration;
use crate::outcome::{Failure, Outcome};
use crate::report::{self, Count};
use crate::terminal::{Colour, Paint};

/// Runs until it is told to stop.
pub fn run(options: &Dev, colour: Colour) -> Result<Outcome, Failure> {
    let stop = Stop::on_signals()?;
    let console = Console { colour };
    let entry = configuration::find(&options.configuration)?;
    let repository = Repository::find()?;
    let folder = Folder::create()?;

    let mut loaded = Loaded::compile(&entry, options, &console);
    let Some(artefact) = &loaded.artefact else {
        return Ok(Outcome::Problems);
    };
    folder.write("gateway.bin", artefact)?;
    let store = options.store.as_deref();
    let mut pairs = pairs(store)?;

    let port = free_port(options.port)?;
    repository.build_if_missing(options.runtime, &stop)?;
    if options.runtime == Runtime::Spin && !options.bindings.is_empty() {
        console.note("Spin has no bindings: `--binding` is for Workers");
    }
    let running = Running::start(options, port, &repository, &folder, &loaded.variables, &pairs, &stop)?;
    let Some(mut running) = running else { return Ok(Outcome::Fine) };
    let address = format!("http://127.0.0.1:{port}");
    match running.wait_until_it_answers(START, &stop)? {
        Answers::Stopped => return Ok(Outcome::Fine),
        Answers::Serving => console.announce("ready", &address)?,
        Answers::Refusing(status) => {
            return Err(Failure::told(format!(
                "the gateway runs, but answers {status} to everything; if it does not say why above, it is older than this \
                 program: run `make build`"
            )));
        }
    }

    loop {
        thread::sleep(PERIOD);
        if stop.asked() {
            return Ok(Outcome::Fine);
        }
        if let Status::Ended(how) = running.status() {
            return Err(Failure::told(format!("the runtime has ended: {how}")));
        }
        if !loaded.watch.changed() {
            continue;
        }
        // An editor that writes in place has emptied the file before it fills it.
        thread::sleep(SETTLING);
        // What it read is watched even if it has problems: the file to mend may be one that only it includes.
        loaded = Loaded::compile(&entry, options, &console);
        let Some(artefact) = &loaded.artefact else {
            console.note("the last configuration without errors goes on serving");
            continue;
        };
        folder.write("gateway.bin", artefact)?;
        match self::pairs(store) {
            Ok(read) => pairs = read,
            Err(Failure::Told(why)) => console.note(&format!("{why}; the store stays as it was")),
            Err(Failure::ReaderGone) => return Err(Failure::ReaderGone),
        }
        running.reload(&folder, &loaded.variables, &pairs)?;
        match running.wait_until_it_answers(RELOAD, &stop)? {
            Answers::Stopped => return Ok(Outcome::Fine),
            Answers::Serving => console.announce("reloaded", &address)?,
            Answers::Refusing(status) => console.note(&format!("the gateway answers {status} to everything now")),
        }
    }
}

/// What is to stand in the key-value store: texts as they are, and anything else as JSON.
fn pairs(file: Option<&Path>) -> Result<BTreeMap<String, String>, Failure> {
    let Some(file) = file else { return Ok(BTreeMap::new()) };
    let wrong = |problem: String| Failure::told(format!("the store `{}`: {problem}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(&text).map_err(|error| wrong(format!("it is no JSON object: {error}")))?;
    let pair = |(key, value)| match value {
        serde_json::Value::String(text) => (key, text),
        other => (key, other.to_string()),
    };
    Ok(values.into_iter().map(pair).collect())
}

/// How often files and processes are looked at.
const PERIOD: Duration = Duration::from_millis(200);
/// How long a change may take to be complete.
const SETTLING: Duration = Duration::from_millis(50);
/// How long a runtime may take to answer at first.
const START: Duration = Duration::from_secs(60);
/// How long it may take with another configuration.
const RELOAD: Duration = Duration::from_secs(20);

/// What one compilation brought.
struct Loaded {
    /// What to serve, if it can be served.
    artefact: Option<Bytes>,
    variables: Variables,
    watch: Watch,
}

impl Loaded {
    /// Compiles, and shows everything that is in the way.
    fn compile(entry: &Path, options: &Dev, console: &Console) -> Self {
        let watch = Watch::default();
        watch.add(&variables::file_beside(entry));
        options.store.iter().for_each(|store| watch.add(store));
        let settings = Options { runtimes: vec![options.runtime.into()], ..Options::default() };
        let compiled = config::compile_with(entry, &watch, &settings);
        console.problems(entry, &compiled);
        let artefact = compiled.artefact.map(Bytes::from);
        let references = artefact.as_ref().and_then(|artefact| Gateway::references(artefact).ok());
        let variables = Variables::read(&references.unwrap_or_default(), entry, |name| std::env::var(name).ok());
        for problem in &variables.problems {
            console.note(problem);
        }
        for reference in &variables.missing {
            console.note(&format!(
                "the configuration refers to {reference}, which has no value: set it in the environment or in `{}`",
                variables::file_beside(entry).display()
            ));
        }
        // Without all values, the gateway would refuse to answer anything.
        let artefact = artefact.filter(|_| variables.missing.is_empty());
        Self { artefact, variables, watch }
    }
}

/// Whether somebody wants us to stop: Ctrl-C, SIGTERM, or a closed terminal.
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    fn on_signals() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))
                .map_err(|error| Failure::told(format!("cannot listen for signals: {error}")))?;
        }
        Ok(Self(asked))
    }

    /// Whether we were asked to stop.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The wanted port, or any free one for 0: nobody listened on it a moment ago.
fn free_port(wanted: u16) -> Result<u16, Failure> {
    let bound = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, wanted)));
    let address = bound.and_then(|listener| listener.local_addr()).map_err(|error| {
        Failure::told(match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "port {wanted} is in use by another program; choose another with --port, or --port 0 for any free one"
            ),
            io::ErrorKind::PermissionDenied => format!("port {wanted} is not for us: {error}; choose one above 1023"),
            _ => format!("cannot listen on port {wanted}: {error}"),
        })
    })?;
    Ok(address.port())
}

/// What `dev` says: two kinds of lines for programs on standard output, everything for people on standard error.
struct Console {
    colour: Colour,
}

impl Console {
    fn announce(&self, what: &str, address: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{what} {address}")?;
        out.flush()?;
        Ok(())
    }

    fn problems(&self, entry: &Path, compiled: &config::Compiled) {
        let coloured = self.colour.on(&io::stderr());
        eprint!("{}", report::human(&compiled.problems, &compiled.sources, coloured));
        if compiled.artefact.is_none() {
            eprintln!("{}", report::summary(entry, Count::of(&compiled.problems), coloured));
        }
    }

    fn note(&self, what: &str) {
        let paint = Paint::new(self.colour.on(&io::stderr()));
        eprintln!("{} {what}", paint.yellow("postern:"));
    }
}

/// Waits in small steps until `done` says so, the time is over, or somebody wants us to stop.
fn wait<T>(limit: Duration, stop: &Stop, mut done: impl FnMut() -> Option<T>) -> Waited<T> {
    let start = Instant::now();
    loop {
        if stop.asked() {
            return Waited::Stopped;
        }
        if let Some(value) = done() {
            return Waited::Done(value);
        }
        if start.elapsed() > limit {
            return Waited::TooLong;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

enum Waited<T> {
    Done(T),
    Stopped,
    TooLong,
}
