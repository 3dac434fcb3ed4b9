//! On Workers: plain `workerd serve`, with what one would write without Postern beside it.

use crate::configurations::{self, ANSWER, route_name};
use crate::results::{Results, Table, number};
use crate::rounds::{self, Variant};
use crate::run::Setup;
use crate::serving::{self, Answer, CLIENT_CORE, Load, SERVER_CORE, Server};
use crate::signatures;
use crate::tables::{self, Shape};
use crate::timing::Samples;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// What is needed to start Workers.
pub struct Workers {
    workerd: PathBuf,
    scratch: PathBuf,
    sources: PathBuf,
    bundle: PathBuf,
    /// Keeps running as long as this.
    origin: Server,
}

impl Workers {
    /// Starts the origin. Fails where workerd is not installed.
    pub fn new(setup: &Setup) -> Result<Self, String> {
        Self::with_answer(setup, &[])
    }

    /// The same, where the origin answers calls of gRPC methods with this.
    pub fn with_answer(setup: &Setup, call: &[u8]) -> Result<Self, String> {
        let packages = setup.root.join("node_modules/@cloudflare");
        let found = fs::read_dir(&packages).into_iter().flatten().flatten().find_map(|entry| {
            let program = entry.path().join("bin/workerd");
            (entry.file_name().to_string_lossy().starts_with("workerd-") && program.exists()).then_some(program)
        });
        Ok(Self {
            workerd: found.ok_or("workerd is not installed; `make setup` brings it")?,
            scratch: setup.scratch.clone(),
            sources: setup.root.join("benches/workers"),
            bundle: snapshot(setup, "worker", &["index.js", "postern_bg.wasm"]),
            origin: serving::origin(&setup.scratch, ANSWER, call)?,
        })
    }

    /// The origin's URL.
    pub fn origin(&self) -> String {
        format!("http://{}", self.origin.address)
    }

    /// Bundles a Worker of `benches/workers` and everything that it imports.
    pub fn script(&self, name: &str) -> Result<Worker<'_>, String> {
        self.script_with(name, 0)
    }

    /// The same, where it does more the higher the `STEP`.
    fn script_with(&self, name: &str, step: usize) -> Result<Worker<'_>, String> {
        let built = if step == 0 { name.to_owned() } else { format!("{name}-{step}") };
        self.bundle_of(name, built, &[format!("--define:STEP={step}")])
    }

    /// The same with more for esbuild to know.
    pub fn script_given(&self, name: &str, given: &[String]) -> Result<Worker<'_>, String> {
        self.bundle_of(name, name.to_owned(), given)
    }

    fn bundle_of(&self, source: &str, name: String, given: &[String]) -> Result<Worker<'_>, String> {
        let source = self.sources.join(format!("{source}.js"));
        let file = self.scratch.join(format!("{name}.js"));
        let esbuild = self.sources.join("../../node_modules/.bin/esbuild");
        let output = Command::new(esbuild)
            .arg(source)
            .args(given)
            .arg("--external:cloudflare:workers")
            .args(["--bundle", "--format=esm", "--target=es2024", "--log-level=warning"])
            .arg(format!("--outfile={}", file.display()))
            .output()
            .map_err(|error| format!("esbuild: {error}"))?;
        if !output.status.success() {
            return Err(format!("esbuild: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let module = Module { name: "index.js".to_owned(), kind: "esModule", file };
        Ok(Worker { workers: self, name, modules: vec![module], counts: false, cache: None })
    }

    /// Postern with this configuration.
    pub fn postern(&self, name: &str, configuration: &serde_json::Value) -> Result<Worker<'_>, String> {
        let artefact = self.scratch.join(format!("{name}.bin"));
        let bytes = configurations::artefact(configuration)?;
        fs::write(&artefact, bytes).map_err(|error| format!("{}: {error}", artefact.display()))?;
        let of = |name: &str, kind, file| Module { name: name.to_owned(), kind, file };
        Ok(Worker {
            workers: self,
            name: name.to_owned(),
            modules: vec![
                of("index.js", "esModule", self.bundle.join("index.js")),
                of("postern_bg.wasm", "wasm", self.bundle.join("postern_bg.wasm")),
                of("gateway.bin", "data", artefact),
            ],
            counts: false,
            cache: None,
        })
    }

    /// What the Cache API asks, in a process of its own.
    pub fn cache_api(&self, setup: &Setup) -> Result<Server, String> {
        let file = setup.root.join("adapters/cloudflare/dev/cache.js");
        let modules = vec![Module { name: "cache.js".to_owned(), kind: "esModule", file }];
        Worker { workers: self, name: "cache-api".to_owned(), modules, counts: false, cache: None }
            .start_on(CLIENT_CORE)
    }

    /// Whether Postern's bundle had been built when this was made.
    pub fn has_bundle(&self) -> bool {
        self.bundle.join("postern_bg.wasm").exists()
    }
}

/// Copies of what was built, since somebody may build again while this measures. What is not there is left out.
pub fn snapshot(setup: &Setup, built: &str, files: &[&str]) -> PathBuf {
    let folder = setup.scratch.join(format!("built-{built}"));
    let _ = fs::create_dir_all(&folder); // Whoever reads what is not there will say so.
    for file in files {
        let _ = fs::remove_file(folder.join(file));
        let _ = fs::copy(setup.root.join("build").join(built).join(file), folder.join(file));
    }
    folder
}

/// A Worker that can be started.
pub struct Worker<'a> {
    workers: &'a Workers,
    name: String,
    modules: Vec<Module>,
    counts: bool,
    cache: Option<SocketAddr>,
}

struct Module {
    name: String,
    kind: &'static str,
    file: PathBuf,
}

/// Builds the bundle with none of the abilities that can be left out, and says where it is.
fn bare_bundle(setup: &Setup) -> Result<PathBuf, String> {
    let built = Command::new("adapters/cloudflare/build.sh")
        .current_dir(&setup.root)
        .env("POSTERN_FEATURES", "")
        .env("POSTERN_OUT", "build/bench/bare")
        .env("CARGO_TARGET_DIR", setup.root.join("target/bare"))
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("the bundle without optional abilities cannot be built".to_owned());
    }
    Ok(setup.root.join("build/bench/bare"))
}

impl Worker<'_> {
    /// The same, of another bundle of Postern's.
    fn of_bundle(mut self, folder: &Path) -> Self {
        for module in self.modules.iter_mut().filter(|module| module.kind != "data") {
            module.file = folder.join(&module.name);
        }
        self
    }

    /// The same with objects that count.
    pub fn with_objects(self) -> Self {
        Self { counts: true, ..self }
    }

    /// The same with a Cache API, which this server speaks for.
    pub fn with_cache(self, server: SocketAddr) -> Self {
        Self { cache: Some(server), ..self }
    }

    /// Starts it on the server's core.
    pub fn start(&self) -> Result<Server, String> {
        self.start_on(SERVER_CORE)
    }

    fn start_on(&self, core: &str) -> Result<Server, String> {
        let address = serving::free_address()?;
        let folder = self.workers.scratch.join(format!("worker-{}", self.name));
        let show = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(show)?;
        let mut modules = Vec::new();
        for Module { name, kind, file } in &self.modules {
            fs::copy(file, folder.join(name)).map_err(|error| format!("{}: {error}", file.display()))?;
            modules.push(format!("(name = \"{name}\", {kind} = embed \"{name}\")"));
        }
        let objects = folder.join("objects");
        fs::create_dir_all(&objects).map_err(show)?;
        // Workers that have no class of this name are not asked for an object of it.
        let counts = if self.counts {
            "durableObjectNamespaces = [(className = \"Counters\", uniqueKey = \"counters\", enableSql = true)],
  durableObjectStorage = (localDisk = \"objects\"),
  bindings = [(name = \"POSTERN_COUNTERS\", durableObjectNamespace = \"Counters\")],"
        } else {
            ""
        };
        let (cache, asks) = match self.cache {
            Some(server) => (
                format!("(name = \"cache\", external = (address = \"{server}\", http = ())),"),
                "cacheApiOutbound = \"cache\",",
            ),
            None => (String::new(), ""),
        };
        let configuration = format!(
            "using Workerd = import \"/workerd/workerd.capnp\";
const config :Workerd.Config = (
  services = [
    (name = \"main\", worker = .main),
    (name = \"objects\", disk = (path = \"{}\", writable = true)),
    (name = \"origin\", external = (address = \"{}\", http = ())),
    {cache}
  ],
  sockets = [(name = \"http\", address = \"{address}\", http = (), service = \"main\")],
);
const main :Workerd.Worker = (
  modules = [{}],
  compatibilityDate = \"2026-11-17\",
  globalOutbound = \"origin\",
  {asks}
  {counts}
);
",
            objects.display(),
            self.workers.origin.address,
            modules.join(", ")
        );
        fs::write(folder.join("config.capnp"), configuration).map_err(show)?;
        let arguments = ["serve".to_owned(), folder.join("config.capnp").display().to_string()];
        Server::start(core, &self.workers.workerd, &arguments, address)
    }

    /// It as something to compare.
    pub fn variant<'a>(
        &'a self,
        label: &str,
        load: Load,
        check: impl Fn(&str, &Answer) -> Result<(), String> + 'a,
    ) -> Variant<'a> {
        Variant {
            label: label.to_owned(),
            start: Box::new(|| self.start()),
            load,
            refused: false,
            check: Box::new(check),
        }
    }
}

/// How many routes a big table has.
pub const MANY: usize = 10_000;

/// Measures and writes the table `workers`, and targets W1, W2, W3, W5, W7.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let [hello, pass, rewrite, by_hand, hono, refuses] =
        ["hello", "pass", "rewrite", "by-hand", "hono", "refuse"].map(|name| workers.script(name));
    let (hello, pass, rewrite, by_hand, hono, refuses) = (hello?, pass?, rewrite?, by_hand?, hono?, refuses?);
    let (key, token) = signatures::made(setup, "ES256")?;
    let hono_routes =
        workers.bundle_of("hono-routes", "hono-routes".to_owned(), &["--define:KEY=undefined".to_owned()])?;
    let hono_chain = workers.bundle_of("hono-routes", "hono-chain".to_owned(), &[format!("--define:KEY={key}")])?;
    let plain = workers.postern("postern-pass", &configurations::pass(&workers.origin()))?;
    let full = workers.postern("postern-full", &configurations::full(&workers.origin(), MANY))?;
    let chain = workers.postern("postern-chain", &configurations::chain(&workers.origin(), MANY, &key))?;

    let (few, many) = (paths(1_000), paths(MANY));
    let with_token = |paths: &[String]| {
        let mut load = Load::get(paths.to_vec());
        load.headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        load
    };
    let variants = vec![
        pass.variant("JavaScript pass-through", Load::get(few.clone()), passed),
        pass.variant("the same once more (control)", Load::get(few.clone()), passed),
        hello.variant("JavaScript hello", Load::get(few.clone()), answered),
        rewrite.variant("JavaScript rewrite, 5 header edits", Load::get(few.clone()), rewritten),
        by_hand.variant("JavaScript by hand, all that Postern does for one route", Load::get(few.clone()), rewritten),
        hono.variant("hono, `proxy()`", Load::get(few.clone()), passed),
        hono_routes.variant("hono, 1,000 routes, rewrite, 7 header edits", Load::get(few.clone()), |path, answer| {
            matched(1_000, path, answer)
        }),
        plain.variant("Postern, one route, no policy", Load::get(few.clone()), passed),
        full.variant("Postern, 10,000 routes, rewrite, 7 header edits", Load::get(many.clone()), |path, answer| {
            matched(MANY, path, answer)
        }),
        full.variant("Postern, 10,000 routes, refuses: 404", Load::get(missed()), |_, answer| refused(404, answer))
            .that_refuses(),
        full.variant(
            "Postern, 10,000 routes, refuses: 405",
            Load { method: "DELETE", ..Load::get(many.clone()) },
            |_, answer| refused(405, answer),
        )
        .that_refuses(),
        refuses
            .variant("JavaScript by hand, refuses: 404", Load::get(missed()), |_, answer| refused(404, answer))
            .that_refuses(),
        chain.variant("Postern, the same 10,000 routes, ES256 token, rate limit", with_token(&many), |path, answer| {
            matched(MANY, path, answer)
        }),
        hono_chain.variant("hono, the same 1,000 routes, ES256 token, rate limit", with_token(&few), |path, answer| {
            matched(1_000, path, answer)
        }),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    let against = [(0, "pass-through"), (2, "hello"), (3, "rewrite"), (4, "by hand")];
    results.keep(compared.table("workers", "on Workers", &against));
    let command = "benches/run.sh workers";
    compared.reach(results, "W1", compared.ratio(7, 0), command);
    compared.reach(results, "W2", compared.ratio(12, 0), command);
    compared.reach(results, "W3", compared.ratio(12, 13), command);
    compared.reach(results, "W5", compared.ratio(12, 3), command);
    compared.reach(results, "W7", compared.ratio(9, 2).max(compared.ratio(10, 2)), command);
    Ok(())
}

/// Measures and writes the table `steps`: what a gateway that is written in JavaScript cannot do without.
pub fn steps(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let pass = workers.script("pass")?;
    let plain = workers.postern("postern-pass", &configurations::pass(&workers.origin()))?;
    let labels = [
        "another URL, redirects not followed",
        "and `Via`, `X-Forwarded-*`",
        "and a time limit",
        "and the client's address",
        "and the request's header fields, read",
    ];
    let steps: Vec<_> =
        (1..=labels.len()).map(|step| workers.script_with("steps", step)).collect::<Result<_, String>>()?;
    let load = || Load::get(paths(1_000));
    let mut variants = vec![
        pass.variant("pass-through", load(), passed),
        pass.variant("the same once more (control)", load(), passed),
    ];
    variants.extend(steps.iter().zip(labels).map(|(step, label)| step.variant(label, load(), passed)));
    variants.push(plain.variant("Postern, one route, no policy", load(), passed));
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    results.keep(compared.table("steps", "JavaScript, without any Wasm", &[(0, "pass-through")]));
    Ok(())
}

/// Measures and writes the table `telemetry`, and target O1. What leaves in batches goes to the origin, which takes everything.
pub fn telemetry(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    if !workers.has_bundle() {
        return Err("build/worker is not there: run `make workers`".to_owned());
    }
    let origin = workers.origin();
    let off = workers.postern("postern-pass", &configurations::pass(&origin))?;
    let observed = |name: &str, telemetry: serde_json::Value| {
        let mut configuration = configurations::pass(&origin);
        configuration["telemetry"] = telemetry;
        configuration["allow"] = serde_json::json!(["clear-text"]);
        workers.postern(name, &configuration)
    };
    let otlp = serde_json::json!({ "endpoint": origin });
    let logs = observed("postern-logs", serde_json::json!({ "logs": { "to": "console" } }))?;
    let sent = serde_json::json!({ "to": "otlp" });
    let logs_sent = observed("postern-logs-sent", serde_json::json!({ "otlp": otlp, "logs": sent }))?;
    let metrics = observed("postern-metrics", serde_json::json!({ "otlp": otlp, "metrics": { "to": "otlp" } }))?;
    let traces = serde_json::json!({ "to": "otlp", "sample": { "ratio": 0.01 } });
    let one_percent = observed("postern-traces", serde_json::json!({ "otlp": otlp, "traces": traces }))?;
    let all = |name: &str, logs: serde_json::Value| {
        observed(name, serde_json::json!({ "otlp": otlp, "logs": logs, "traces": traces, "metrics": sent }))
    };
    let all_sent = all("postern-observed-sent", sent.clone())?;
    let all = all("postern-observed", serde_json::json!({ "to": "console" }))?;
    let (pass, logged) = (workers.script("pass")?, workers.script("logged")?);
    let load = || Load::get(paths(1_000));
    let variants = vec![
        off.variant("everything off", load(), passed),
        off.variant("the same once more (control)", load(), passed),
        logs.variant("access log on the console", load(), passed),
        logs_sent.variant("access log by OTLP, in batches", load(), passed),
        metrics.variant("metrics, pushed every 10 s", load(), passed),
        one_percent.variant("traces, 1 % of them recorded", load(), passed),
        all.variant("all three, the log on the console", load(), passed),
        all_sent.variant("all three by OTLP", load(), passed),
        pass.variant("JavaScript pass-through", load(), passed),
        logged.variant("JavaScript pass-through, and such a line on the console", load(), passed),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    let against = [(0, "everything off"), (8, "pass-through")];
    results.keep(compared.table("telemetry", "Postern on Workers, one route", &against));
    compared.reach(results, "O1", compared.ratio(6, 0), "benches/run.sh telemetry");
    Ok(())
}

/// Measures and writes the table `cold`, and target C1: CPU time from the start of workerd to the first answer, and what
/// its other threads still do in the half second behind it.
pub fn cold(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let workers = Workers::new(setup)?;
    let hello = workers.script("hello")?;
    let postern = |name: String, routes| workers.postern(&name, &configurations::full(&workers.origin(), routes));
    let mut routed = Vec::new();
    for routes in [10, 1_000, MANY] {
        let label = format!("{} routes, every ability", crate::lookup::group(routes));
        routed.push((label, routes, postern(format!("postern-cold-{routes}"), routes)?));
    }
    let bare = postern("postern-cold-bare".to_owned(), MANY)?.of_bundle(&bare_bundle(setup)?);
    routed.push((format!("{} routes, no optional one", crate::lookup::group(MANY)), MANY, bare));
    let mut base = Samples::default();
    let mut over = vec![[Samples::default(), Samples::default()]; routed.len()];
    for _ in 0..setup.rounds() {
        let [first, settled] = start_cold(&hello, "/", |_| Ok(()))?;
        base.0.push(settled);
        for ((_, routes, worker), over) in routed.iter().zip(&mut over) {
            let path = paths(*routes)[5].clone();
            let cold = start_cold(worker, &path, |answer| matched(*routes, &path, answer))?;
            over[0].0.push(cold[0] - first);
            over[1].0.push(cold[1] - settled);
        }
        eprint!(".");
    }
    eprintln!();
    let mut table =
        Table::new("cold", &["Postern", "to the first answer, ms over hello (min)", "half a second later (min)"]);
    for ((label, ..), over) in routed.iter().zip(&over) {
        let show = |samples: &Samples| format!("{} ({})", number(samples.median()), number(samples.min()));
        table.push(vec![label.clone(), show(&over[0]), show(&over[1])]);
    }
    table.remarks.push(format!("{} starts each; hello itself takes {} ms.", setup.rounds(), number(base.median())));
    results.keep(table);
    // With every ability.
    if let Some(over) = over.get(2) {
        results.reach("C1", over[1].median(), "benches/run.sh cold");
    }
    Ok(())
}

/// Milliseconds of CPU: when the first answer is there, and half a second later.
fn start_cold(
    worker: &Worker<'_>,
    path: &str,
    check: impl Fn(&Answer) -> Result<(), String>,
) -> Result<[f64; 2], String> {
    let server = worker.start()?;
    let answer = serving::ask(server.address, "GET", path, &[])?;
    let first = server.cpu();
    if answer.status != 200 {
        return Err(format!("{path}: {answer:?}"));
    }
    check(&answer)?;
    std::thread::sleep(Duration::from_millis(500));
    Ok([first, server.cpu()].map(|cpu| cpu as f64 / 1e6))
}

/// Measures and writes the table `bundle`, and target Z1: with every ability, and with none of those that can be left out.
pub fn bundle(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let bare = bare_bundle(setup)?;
    let mut table = Table::new("bundle", &["file", "KB", "KB gzipped"]);
    let mut total = 0.0;
    for (folder, which) in [(setup.root.join("build/worker"), "every ability"), (bare, "no optional one")] {
        let mut sum = (0.0, 0.0);
        for name in ["index.js", "postern_bg.wasm"] {
            let (size, gzipped) = sizes(&folder.join(name))?;
            sum = (sum.0 + size, sum.1 + gzipped);
            table.push(vec![format!("`{name}`, {which}"), number(size), number(gzipped)]);
        }
        table.push(vec![format!("together, {which}"), number(sum.0), number(sum.1)]);
        total = sum.1;
    }
    let artefact = setup.scratch.join("gateway-10000.bin");
    let bytes = configurations::artefact(&configurations::full("http://127.0.0.1:9000", MANY))?;
    fs::write(&artefact, bytes).map_err(|error| error.to_string())?;
    let (size, gzipped) = sizes(&artefact)?;
    table.push(vec!["a configuration of 10,000 routes".to_owned(), number(size), number(gzipped)]);
    results.keep(table);
    results.reach("Z1", total, "benches/run.sh bundle");
    Ok(())
}

fn sizes(file: &Path) -> Result<(f64, f64), String> {
    let size = fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    let output = Command::new("gzip").arg("-6c").arg(file).output().map_err(|error| format!("gzip: {error}"))?;
    Ok((size as f64 / 1_000.0, output.stdout.len() as f64 / 1_000.0))
}

/// Paths that routes of a table of this size take.
pub fn paths(routes: usize) -> Vec<String> {
    tables::requests(Shape::Plain, routes, 1_000).into_iter().map(|request| request.path).collect()
}

fn missed() -> Vec<String> {
    tables::misses(Shape::Plain, MANY, 1_000).into_iter().map(|request| request.path).collect()
}

/// The origin's answer, to the path that was asked for.
pub fn passed(path: &str, answer: &Answer) -> Result<(), String> {
    arrived(path, answer)?;
    equal("x-origin-secret", answer.header("x-origin-secret"), Some("1"))
}

/// The answer of whoever needs no origin.
pub fn answered(_: &str, answer: &Answer) -> Result<(), String> {
    equal("status", answer.status, 200)?;
    equal("content-type", answer.header("content-type"), Some("application/json"))?;
    equal("body", answer.body.as_slice(), ANSWER.as_bytes())
}

/// The origin's answer, to the rewritten path, with the response's edits.
pub fn rewritten(path: &str, answer: &Answer) -> Result<(), String> {
    arrived(&format!("/internal{path}"), answer)?;
    equal("x-content-type-options", answer.header("x-content-type-options"), Some("nosniff"))?;
    equal("x-origin-secret", answer.header("x-origin-secret"), None)
}

/// The same, and the route of the path in a table of so many is the one that took it.
pub fn matched(routes: usize, path: &str, answer: &Answer) -> Result<(), String> {
    rewritten(path, answer)?;
    let requests = tables::requests(Shape::Plain, routes, 1_000);
    let request = requests.into_iter().find(|request| request.path == path);
    let route = request.and_then(|request| request.route).map(route_name).ok_or("nobody knows this path")?;
    equal("x-matched-route", answer.header("x-matched-route"), Some(route.as_str()))?;
    equal("x-origin-saw", answer.header("x-origin-saw"), Some(format!("{route}|bench|edge|").as_str()))
}

fn refused(status: u16, answer: &Answer) -> Result<(), String> {
    equal("status", answer.status, status)?;
    equal("content-type", answer.header("content-type"), Some("application/problem+json"))?;
    if status == 405 { equal("allow", answer.header("allow"), Some("GET, HEAD, OPTIONS")) } else { Ok(()) }
}

fn arrived(target: &str, answer: &Answer) -> Result<(), String> {
    equal("status", answer.status, 200)?;
    equal("x-origin-target", answer.header("x-origin-target"), Some(target))?;
    equal("body", answer.body.strip_suffix(b"\n"), Some(ANSWER.as_bytes()))
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found:?}, not {wanted:?}")) }
}
