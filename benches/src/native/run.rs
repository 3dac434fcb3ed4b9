//! The parts of a run, in order, and what they share.

use crate::results::Results;
use crate::{
    abilities, caching, counting, curves, failing, handling, limiting, loaded, lookup, picking, signatures, spin,
    translating, workers,
};
use std::path::{Path, PathBuf};

/// What is measured when nothing is named, in this order.
pub const PARTS: [(&str, &str); 18] = [
    ("lookup", "route lookup beside matchit"),
    ("handling", "what the core does for one request"),
    ("loading", "ten thousand routes into memory, native and in Wasm"),
    ("signatures", "who calls: tokens by algorithm, keys, expressions, bodies"),
    ("abilities", "the bytes of each optional ability"),
    ("limits", "what a limit costs that an instance counts itself, native and in Wasm"),
    ("transcoding", "calls of gRPC methods by JSON, beside JavaScript by hand, and the bytes that the ability adds"),
    ("picking", "what it costs to pick one of 10 to 10,000 targets"),
    ("failures", "what clients notice when one of three origins fails, beside nginx"),
    ("bundle", "the size of the Workers bundle"),
    ("cold", "CPU time of a cold start on Workers"),
    ("workers", "requests on Workers beside JavaScript and hono"),
    ("limited", "what a limit adds to a request on Workers, beside one by hand on a Durable Object"),
    ("cached", "what an answer from the cache costs on Workers, beside one from the origin and a cache by hand"),
    ("steps", "what of that any gateway on Workers would cost"),
    ("telemetry", "what observing costs on Workers: everything off, and an access log, traces and metrics on"),
    ("curves", "growth on Workers with routes, header fields and bodies"),
    ("spin", "requests on Spin beside the least that a component can do"),
];

/// How a run is made.
#[derive(Debug)]
pub struct Setup {
    /// The repository.
    pub root: PathBuf,
    /// For what only this run needs.
    pub scratch: PathBuf,
    /// Shorter and fewer samples: to see that all works, not to quote.
    pub quick: bool,
    /// Whether instructions can be counted.
    pub has_valgrind: bool,
}

impl Setup {
    /// Makes the scratch folder.
    pub fn new(root: &Path, quick: bool) -> Result<Self, String> {
        let scratch = root.join("build/bench");
        std::fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        Ok(Self { root: root.to_owned(), scratch, quick, has_valgrind: false })
    }

    /// How long a sample of native code runs at least.
    pub fn sample_milliseconds(&self) -> u64 {
        if self.quick { 5 } else { 50 }
    }

    /// How many rounds servers are compared in.
    pub fn rounds(&self) -> usize {
        if self.quick { 2 } else { 5 }
    }

    /// The same for the points of a curve, of which there are many.
    pub fn curve_rounds(&self) -> usize {
        if self.quick { 1 } else { 3 }
    }

    /// For how many seconds a server is loaded before it is measured, and in how many windows of a second it is.
    pub fn seconds(&self) -> (u32, u32) {
        if self.quick { (1, 1) } else { (3, 5) }
    }

    /// Whether all of these programs are here; says what to do where they are not.
    fn has(&self, programs: &[&str]) -> bool {
        let places = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = std::env::split_paths(&path).chain(places).collect();
        let missing = programs.iter().filter(|program| !folders.iter().any(|folder| folder.join(program).exists()));
        missing.inspect(|program| lacks(program, "this part is left out")).count() == 0
    }
}

/// Measures the named parts, or all. With `write`, `docs/benchmarks.md` gets the results. Ends with the names of those that
/// could not be measured.
pub fn run(mut setup: Setup, parts: &[String], write: bool) -> Result<(), String> {
    let known = |part: &String| PARTS.iter().any(|(name, _)| name == part);
    if let Some(unknown) = parts.iter().find(|part| !known(part)) {
        let names: Vec<_> = PARTS.iter().map(|(name, what)| format!("  {name:10} {what}")).collect();
        return Err(format!("there is no part `{unknown}`; there are\n{}", names.join("\n")));
    }
    let file = setup.scratch.join("results.json");
    let mut results = Results::load(&file);
    setup.has_valgrind = counting::is_available();
    if !setup.has_valgrind {
        lacks("valgrind", "instructions are not counted");
    }
    let mut failed = Vec::new();
    for (part, what) in PARTS {
        if parts.is_empty() || parts.iter().any(|wanted| wanted == part) {
            println!("\n== {part}: {what}");
            // The others can be measured all the same.
            if let Err(problem) = measure(part, &setup, &mut results) {
                println!("{problem}");
                failed.push(part);
            }
            results.save(&file)?;
        }
    }
    if write {
        let page = setup.root.join("docs/benchmarks.md");
        let show = |error: std::io::Error| format!("{}: {error}", page.display());
        let text = std::fs::read_to_string(&page).map_err(show)?;
        std::fs::write(&page, results.write_into(&text)).map_err(show)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", "))) }
}

fn measure(part: &str, setup: &Setup, results: &mut Results) -> Result<(), String> {
    match part {
        "lookup" => lookup::measure(setup, results),
        "handling" => handling::measure(setup, results),
        "loading" => loaded::measure(setup, results),
        "signatures" => signatures::measure(setup, results),
        "abilities" => abilities::measure(setup, results),
        "limits" => limiting::measure(setup, results),
        "transcoding" => {
            translating::measure(setup, results)?;
            if setup.has(&["nginx", "wrk"]) { translating::on_workers(setup, results) } else { Ok(()) }
        }
        "picking" => picking::measure(setup, results),
        "failures" => failing::measure(setup, results),
        "bundle" => workers::bundle(setup, results),
        "cold" if setup.has(&["nginx"]) => workers::cold(setup, results),
        "workers" if setup.has(&["nginx", "wrk"]) => workers::measure(setup, results),
        "limited" if setup.has(&["nginx", "wrk"]) => limiting::on_workers(setup, results),
        "cached" if setup.has(&["nginx", "wrk"]) => caching::measure(setup, results),
        "steps" if setup.has(&["nginx", "wrk"]) => workers::steps(setup, results),
        "telemetry" if setup.has(&["nginx", "wrk"]) => workers::telemetry(setup, results),
        "curves" if setup.has(&["nginx", "wrk"]) => curves::measure(setup, results),
        "spin" if setup.has(&["nginx", "wrk"]) => spin::measure(setup, results),
        _ => Ok(()),
    }
}

/// Says what is missing, how to get it, and what is left out without it.
pub fn lacks(program: &str, consequence: &str) {
    println!("{program} is not installed (Debian: `apt install {program}`): {consequence}");
}

/// Does one thing so many times, for valgrind to count.
pub fn count(setup: &Setup, arguments: &[&str]) -> Result<(), String> {
    match arguments {
        ["lookup", rest @ ..] => lookup::count(rest, setup),
        ["handling", rest @ ..] => handling::count(rest, setup),
        _ => Err(format!("nothing is counted under the name {arguments:?}")),
    }
}
