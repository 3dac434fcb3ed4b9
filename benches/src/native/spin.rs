//! On Spin: the repository's own host, with the least that a component can do beside the gateway.

use crate::configurations::{self, ANSWER};
use crate::results::Results;
use crate::rounds::{self, Variant};
use crate::run::Setup;
use crate::serving::{self, Answer, Load, SERVER_CORE, Server};
use crate::workers::{MANY, answered, matched, passed, paths, snapshot};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Measures and writes the tables `spin-answers` and `spin-proxied`, and targets S1 and S2.
pub fn measure(setup: &Setup, results: &mut Results) -> Result<(), String> {
    let spin = Spin::new(setup)?;
    let command = "benches/run.sh spin";
    let (hello, reads) = (spin.bare("hello"), spin.bare("reads"));
    let routed = [10, MANY].map(|routes| spin.postern(&format!("respond-{routes}"), &configurations::respond(routes)));
    let [few, many] = routed;
    let (few, many) = (few?, many?);
    let variants = [
        hello.variant("a hello component", paths(1_000), answered),
        hello.variant("the same once more (control)", paths(1_000), answered),
        few.variant("Postern answers, 10 routes", paths(10), answered),
        many.variant("Postern answers, 10,000 routes", paths(MANY), answered),
        reads.variant("the hello component, and it reads the request", paths(1_000), answered),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    let against = [(0, "hello"), (4, "one that reads")];
    results.keep(compared.table("spin-answers", "on Spin, without an origin", &against));
    compared.reach(results, "S1", compared.ratio(3, 0), command);

    let proxy = spin.bare("proxy");
    let plain = spin.postern("pass", &configurations::pass(&spin.origin()))?;
    let full = spin.postern("full", &configurations::full(&spin.origin(), MANY))?;
    let variants = [
        proxy.variant("a bare proxy component", paths(1_000), passed),
        proxy.variant("the same once more (control)", paths(1_000), passed),
        plain.variant("Postern, one route, no policy", paths(1_000), passed),
        full.variant("Postern, 10,000 routes, rewrite, 7 header edits", paths(MANY), |path, answer| {
            matched(MANY, path, answer)
        }),
    ];
    let compared = rounds::compare(setup, &variants, setup.rounds())?;
    results.keep(compared.table("spin-proxied", "on Spin, in front of an origin", &[(0, "bare proxy")]));
    compared.reach(results, "S2", compared.ratio(2, 0), command);
    Ok(())
}

/// What is needed to start components.
pub struct Spin {
    host: PathBuf,
    root: PathBuf,
    /// The gateway and its manifest.
    built: PathBuf,
    scratch: PathBuf,
    origin: Server,
}

impl Spin {
    /// Builds what is not built yet and starts the origin.
    pub fn new(setup: &Setup) -> Result<Self, String> {
        let host = build(&setup.root.join("tests/spin-host/build.sh"))?;
        build(&setup.root.join("benches/spin/build.sh"))?;
        let built = snapshot(setup, "spin", &["gateway.wasm"]);
        if !built.join("gateway.wasm").exists() {
            return Err("build/spin/gateway.wasm is not there: run `make component`".to_owned());
        }
        let manifest =
            fs::read_to_string(setup.root.join("spin.toml")).map_err(|error| format!("spin.toml: {error}"))?;
        fs::write(built.join("spin.toml"), manifest.replace("build/spin/gateway.wasm", "gateway.wasm"))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            host: PathBuf::from(host.trim()),
            root: setup.root.clone(),
            built,
            scratch: setup.scratch.clone(),
            origin: serving::origin(&setup.scratch, ANSWER, &[])?,
        })
    }

    fn origin(&self) -> String {
        format!("http://{}", self.origin.address)
    }

    /// A component of `benches/spin`.
    fn bare(&self, name: &str) -> Component<'_> {
        let arguments = ["--variable".to_owned(), format!("origin={}", self.origin.address)];
        Component {
            spin: self,
            manifest: self.root.join(format!("benches/spin/{name}.toml")),
            arguments: if name == "proxy" { arguments.to_vec() } else { Vec::new() },
        }
    }

    /// Postern with this configuration.
    fn postern(&self, name: &str, configuration: &Value) -> Result<Component<'_>, String> {
        let artefact = self.scratch.join(format!("spin-{name}.bin"));
        fs::write(&artefact, configurations::artefact(configuration)?)
            .map_err(|error| format!("{}: {error}", artefact.display()))?;
        let arguments = vec!["--file".to_owned(), format!("/gateway.bin={}", artefact.display())];
        Ok(Component { spin: self, manifest: self.built.join("spin.toml"), arguments })
    }
}

/// Runs a script that builds something, and gives what it prints.
fn build(script: &Path) -> Result<String, String> {
    let show = |what: &str| format!("{}: {what}", script.display());
    let output = Command::new(script).output().map_err(|error| show(&error.to_string()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(String::from_utf8_lossy(&output.stdout).into_owned()) } else { Err(show(&words)) }
}

/// A component that can be started.
struct Component<'a> {
    spin: &'a Spin,
    manifest: PathBuf,
    arguments: Vec<String>,
}

impl Component<'_> {
    fn variant<'a>(
        &'a self,
        label: &str,
        paths: Vec<String>,
        check: impl Fn(&str, &Answer) -> Result<(), String> + 'a,
    ) -> Variant<'a> {
        Variant {
            label: label.to_owned(),
            start: Box::new(|| self.start()),
            load: Load::get(paths),
            refused: false,
            check: Box::new(check),
        }
    }

    fn start(&self) -> Result<Server, String> {
        let address = serving::free_address()?;
        let state = self.spin.scratch.join("spin-state").display().to_string();
        let mut arguments = vec!["-f".to_owned(), self.manifest.display().to_string()];
        arguments.extend(["--listen".to_owned(), address.to_string(), "--state-dir".to_owned(), state]);
        arguments.extend(self.arguments.iter().cloned());
        Server::start(SERVER_CORE, &self.spin.host, &arguments, address)
    }
}
