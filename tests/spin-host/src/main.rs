//! Runs a Spin application of one HTTP component, as Spin would, without Spin. `README.md` says how alike the two are.

mod application;
mod server;

mod instance;
mod key_value;
mod outbound;
mod redis;
mod variables;

mod allowed_hosts;
mod assets;
mod manifest;

mod bindings;
mod error;

use application::{Application, Origin};
use clap::Parser;
use error::Error;
use manifest::Mapping;
use server::Server;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use wasmtime::Engine;

/// Runs a Spin application of one HTTP component, as Spin would, without Spin.
///
/// SIGHUP reads everything anew; SIGTERM and SIGINT let requests in flight end, and a second one does not.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The manifest, or the folder with a spin.toml.
    #[arg(long, short = 'f', default_value = "spin.toml")]
    from: PathBuf,
    /// Where to listen. Port 0 takes any free one; the line `Serving http://…` tells which.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// A file or folder that the component sees under this path; replaces the manifest's of the same path.
    #[arg(long = "file", value_name = "/DESTINATION=PATH", value_parser = mapping)]
    files: Vec<Mapping>,
    /// The value of a variable, or a TOML file of them.
    #[arg(long = "variable", value_name = "NAME=VALUE | NAME=@FILE | @FILE.toml")]
    variables: Vec<String>,
    /// A pair to put into the store `default`.
    #[arg(long = "key-value", value_name = "KEY=VALUE", value_parser = pair)]
    key_values: Vec<(String, String)>,
    /// A pattern to add to allowed_outbound_hosts.
    #[arg(long = "allow-host", value_name = "PATTERN")]
    allowed_hosts: Vec<String>,
    /// Where key-value stores are kept [default: .spin beside the manifest].
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Where compiled components are kept [default: $POSTERN_CACHE/wasmtime, or ~/.cache/postern/wasmtime].
    #[arg(long, value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    /// Certificates (PEM) to trust besides the usual ones.
    #[arg(long, value_name = "FILE")]
    ca_roots: Option<PathBuf>,
    /// How many seconds requests in flight get when the host is asked to stop.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    grace: f32,
    /// Take orders from standard input: `reload` does what SIGHUP does, and its end stops the host, so that it never
    /// outlives the program that started it.
    #[arg(long)]
    stdin: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(arguments));
            // Whoever waits for standard input cannot be woken, and must not keep the host.
            runtime.shutdown_timeout(Duration::from_millis(200));
            outcome
        }
        Err(error) => Err(Error::Engine(error.to_string())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("postern-spin-host: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    let engine = application::engine(&arguments.cache_dir.clone().unwrap_or_else(cache))?;
    let origin = Origin {
        manifest: arguments.from,
        files: arguments.files,
        variables: arguments.variables,
        key_values: arguments.key_values,
        allowed_hosts: arguments.allowed_hosts,
        state: arguments.state_dir,
        roots: arguments.ca_roots,
    };
    let server = Server::new(Application::load(&origin, &engine)?);
    let stop = Arc::new(Notify::new());
    listen_to_signals(&server, &origin, &engine, &stop)?;
    if arguments.stdin {
        tokio::spawn(listen_to_stdin(server.clone(), origin, engine, stop.clone()));
    }
    let address = arguments.listen;
    let unable = |problem| Error::Listen { address, problem };
    let listener = TcpListener::bind(address).await.map_err(unable)?;
    println!("Serving http://{}", listener.local_addr().map_err(unable)?);
    let grace = Duration::try_from_secs_f32(arguments.grace).unwrap_or(Duration::MAX);
    server.run(listener, stop.notified(), grace).await;
    instance::silence();
    Ok(())
}

/// SIGTERM and SIGINT stop, SIGHUP reloads.
fn listen_to_signals(server: &Server, origin: &Origin, engine: &Engine, stop: &Arc<Notify>) -> Result<(), Error> {
    let of = |kind| signal(kind).map_err(|error| Error::Engine(format!("signals: {error}")));
    let (mut terminate, mut interrupt, mut hangup) =
        (of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?);
    let (server, origin, engine, stop) = (server.clone(), origin.clone(), engine.clone(), stop.clone());
    tokio::spawn(async move {
        let mut stopping = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    reload(&server, &origin, &engine);
                    continue;
                }
            }
            if stopping {
                std::process::exit(1);
            }
            stopping = true;
            stop.notify_one();
        }
    });
    Ok(())
}

async fn listen_to_stdin(server: Server, origin: Origin, engine: Engine, stop: Arc<Notify>) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.trim() {
            "" => {}
            "reload" => reload(&server, &origin, &engine),
            other => eprintln!("postern-spin-host: unknown order `{other}`; there is only `reload`"),
        }
    }
    stop.notify_one();
}

/// Says `Reloaded` when new requests see what is new; otherwise why not, and what there was goes on.
fn reload(server: &Server, origin: &Origin, engine: &Engine) {
    // Compiling blocks this thread for a moment; the others go on with their requests.
    match tokio::task::block_in_place(|| Application::load(origin, engine)) {
        Ok(application) => {
            server.replace(application);
            println!("Reloaded");
        }
        Err(error) => println!("failed to reload: {error}"),
    }
}

fn mapping(text: &str) -> Result<Mapping, String> {
    let (destination, source) = text.split_once('=').ok_or("must be /DESTINATION=PATH")?;
    if !destination.starts_with('/') {
        return Err("the destination must start with a slash".into());
    }
    Ok(Mapping { source: source.into(), destination: destination.into() })
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let postern = || {
        let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        caches.unwrap_or_else(std::env::temp_dir).join("postern")
    };
    variable("POSTERN_CACHE").unwrap_or_else(postern).join("wasmtime")
}
