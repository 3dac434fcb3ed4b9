//! Many scenarios behind one real gateway, each on hosts of its own.
//!
//! Starting a runtime takes seconds, so scenarios whose configurations say nothing about the gateway as a whole share
//! one: the routes of each get the host that is its own. What that changes no scenario can see: those that could (routes
//! for any host, `{route.name}`, limits, trusted proxies …) have a gateway to themselves. The test platform runs every
//! configuration as it is written.

use crate::Platform;
use crate::access_log;
use crate::in_process::place;
use crate::origin::{Exchange, Origin, Received, lock};
use crate::play::{self, Remote, Stage};
use crate::running::Running;
use crate::scenario::Scenario;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// Scenarios that share a gateway.
#[derive(Debug)]
pub struct Batch {
    platform: Platform,
    scenarios: Vec<Scenario>,
    started: OnceLock<Result<Started, String>>,
    left: Mutex<usize>,
}

#[derive(Debug)]
struct Started {
    running: Mutex<Option<Running>>,
    address: std::net::SocketAddr,
    /// The file that the gateway writes to.
    log: std::path::PathBuf,
    /// Whether every request is logged there.
    logs: bool,
    scenes: BTreeMap<String, Scene>,
}

/// One scenario, ready to be played.
#[derive(Debug)]
struct Scene {
    scenario: Scenario,
    stage: Arc<Stage>,
    _origins: Vec<Origin>,
}

impl Batch {
    /// Puts scenarios together that may share a gateway.
    pub fn plan(platform: Platform, scenarios: Vec<Scenario>) -> Vec<Arc<Batch>> {
        let mut groups: BTreeMap<String, Vec<Scenario>> = BTreeMap::new();
        for scenario in scenarios {
            let mut shared = scenario.gateway.clone();
            if let Value::Object(members) = &mut shared {
                OWN.iter().for_each(|own| drop(members.remove(*own)));
            }
            // The one that most share comes first.
            let key = if scenario.alone
                || scenario.remembers
                || !scenario.settings.is_empty()
                || !scenario.store.is_empty()
                || !scenario.bindings.is_empty()
            {
                format!("own {}", scenario.id)
            } else if shared == json!({}) {
                "all".to_owned()
            } else {
                format!("global {shared}")
            };
            groups.entry(key).or_default().push(scenario);
        }
        let batch = |scenarios: Vec<Scenario>| {
            let left = Mutex::new(scenarios.len());
            Arc::new(Batch { platform, scenarios, started: OnceLock::new(), left })
        };
        groups.into_values().map(batch).collect()
    }

    /// The scenarios in it.
    pub fn scenarios(&self) -> &[Scenario] {
        &self.scenarios
    }

    /// Plays one of them. The first starts the gateway, the last stops it.
    pub fn play(&self, id: &str) -> Result<(), String> {
        if self.platform == Platform::Spin && self.scenarios.iter().any(|scenario| scenario.remembers) {
            return self.play_anew(id);
        }
        let played = self.play_started(id);
        let mut left = lock(&self.left);
        *left -= 1;
        if *left == 0
            && let Some(Ok(started)) = self.started.get()
            && let Some(running) = lock(&started.running).take()
        {
            drop(left);
            let logged = started.is_logged(&running);
            return played.and(running.stop()).and(logged);
        }
        played
    }

    /// Spin gives a request to a new instance where the one before is not quite done, and each has a memory of its own: what
    /// one instance remembers is seen in one of some attempts, or never.
    fn play_anew(&self, id: &str) -> Result<(), String> {
        let mut played = Ok(());
        for _ in 0..ATTEMPTS {
            let started = self.start()?;
            let scene = started.scenes.get(id).ok_or("no such scenario")?;
            played = play::play(&scene.scenario, self.platform, &scene.stage, &started.remote());
            if let Some(running) = lock(&started.running).take() {
                let logged = started.is_logged(&running);
                running.stop()?;
                logged?;
            }
            if played.is_ok() {
                break;
            }
        }
        played
    }

    fn play_started(&self, id: &str) -> Result<(), String> {
        let started = self.started.get_or_init(|| self.start()).as_ref().map_err(Clone::clone)?;
        let scene = started.scenes.get(id).ok_or("no such scenario")?;
        play::play(&scene.scenario, self.platform, &scene.stage, &started.remote())
    }

    fn start(&self) -> Result<Started, String> {
        let mut scenes = BTreeMap::new();
        let mut whole = Map::new();
        let (mut settings, mut store, mut bindings) = (BTreeMap::new(), Map::new(), BTreeMap::new());
        for scenario in &self.scenarios {
            let scene = Scene::set(scenario)?;
            let alone = self.scenarios.len() == 1;
            let configuration = if alone { scene.scenario.gateway.clone() } else { on_own_hosts(&scene.scenario)? };
            merge(&mut whole, configuration);
            settings.extend(scene.scenario.settings.clone());
            store.extend(scene.scenario.store.clone());
            let listening = scene.scenario.bindings.iter();
            bindings.extend(listening.map(|(name, origin)| (name.clone(), format!("http://{origin}"))));
            scenes.insert(scenario.id.clone(), scene);
        }
        let whole = access_log::observed(&whole.into());
        let running = Running::start_with(self.platform, &whole, &settings, &bindings, &store)?;
        let (address, log) = (running.address, running.log_file());
        let logs = access_log::is_whole(&whole);
        Ok(Started { address, log, logs, running: Mutex::new(Some(running)), scenes })
    }
}

impl Started {
    fn remote(&self) -> Remote {
        Remote(self.address, self.log.clone())
    }

    /// Whether all that was logged is as the schema says.
    fn is_logged(&self, running: &Running) -> Result<(), String> {
        let lines = access_log::read_all(&running.log())?;
        if self.logs && lines.is_empty() { Err("nothing stands in the access log".to_owned()) } else { Ok(()) }
    }
}

impl Scene {
    /// Starts the origins.
    fn set(scenario: &Scenario) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        let stage = Arc::new(Stage::default());
        let mut origins = Vec::new();
        let mut places = BTreeMap::from([("closed".to_owned(), Origin::closed().map_err(io)?.to_string())]);
        places.insert("root".to_owned(), crate::process::root().display().to_string());
        for name in scenario.origin_names() {
            let (behind, called) = (stage.clone(), name.clone());
            let origin = Origin::start_choosing(&name, stage.log.clone(), move || {
                let script = behind.script(&called);
                move |received: &Received, exchange: &mut Exchange<'_>| script.act(received, exchange)
            });
            let origin = origin.map_err(io)?;
            places.insert(place(&name), origin.address.to_string());
            origins.push(origin);
        }
        let scenario = scenario.bind(&places)?;
        // Somebody may ask them before the first step: checks do.
        scenario.steps.first().into_iter().for_each(|step| stage.set(&scenario, step));
        Ok(Self { scenario, stage, _origins: origins })
    }
}

/// The configuration with names of its own, whose routes are for its own hosts only.
fn on_own_hosts(scenario: &Scenario) -> Result<Value, String> {
    let own = scenario.host();
    let prefix = scenario.id.replace('/', ".");
    let rename = |value: &mut Value| {
        if let Value::String(name) = value {
            *name = format!("{prefix}.{name}");
        }
    };
    let mut gateway = scenario.gateway.clone();
    if let Some(Value::Object(upstreams)) = gateway.get_mut("upstreams") {
        *upstreams =
            std::mem::take(upstreams).into_iter().map(|(name, value)| (format!("{prefix}.{name}"), value)).collect();
        upstreams.values_mut().filter_map(|upstream| upstream.pointer_mut("/fallback/upstream")).for_each(&rename);
    }
    let mut lists = Vec::new();
    let mut defaults = Vec::new();
    let Value::Object(members) = &mut gateway else { return Err("the configuration is no map".to_owned()) };
    for (name, value) in members {
        match (name.as_str(), value) {
            ("routes", Value::Array(routes)) => lists.push((routes, false)),
            ("groups", Value::Array(groups)) => {
                for group in groups {
                    let has_host = group.pointer("/defaults/host").is_some();
                    let Value::Object(group) = group else { continue };
                    for (name, value) in group {
                        match (name.as_str(), value) {
                            ("routes", Value::Array(routes)) => lists.push((routes, has_host)),
                            ("defaults", value) => defaults.push(value),
                            ("name", value) => rename(value),
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
    // Policies may name upstreams, too.
    let asked = |value: &mut Value| {
        for policy in value.get_mut("policies").and_then(Value::as_array_mut).into_iter().flatten() {
            policy.pointer_mut("/forward_auth/upstream").map(&rename);
            policy.pointer_mut("/mirror/upstream").map(&rename);
        }
    };
    for value in defaults {
        value.get_mut("upstream").map(&rename);
        asked(value);
        is_own(value.get("host"), &own)?;
    }
    for (routes, has_host) in lists {
        for route in routes {
            route.get_mut("name").map(&rename);
            route.get_mut("upstream").map(&rename);
            if let Some(Value::Object(steps)) = route.pointer_mut("/compose/steps") {
                steps.values_mut().filter_map(|step| step.get_mut("upstream")).for_each(&rename);
            }
            asked(route);
            is_own(route.get("host"), &own)?;
            if let Value::Object(members) = route
                && !has_host
                && !members.contains_key("host")
            {
                members.insert("host".to_owned(), own.clone().into());
            }
        }
    }
    Ok(gateway)
}

fn is_own(host: Option<&Value>, own: &str) -> Result<(), String> {
    let hosts = match host {
        None => return Ok(()),
        Some(Value::Array(several)) => several.clone(),
        Some(one) => vec![one.clone()],
    };
    match hosts.iter().find(|host| !host.as_str().is_some_and(|host| host.ends_with(own))) {
        None => Ok(()),
        Some(host) => Err(format!("the host {host} is not below `<host>`: write `alone: true`, or another host")),
    }
}

/// How often a scenario is played anew until all of its requests have met one instance.
const ATTEMPTS: usize = 5;

/// What each scenario brings for itself, and no other sees.
const OWN: [&str; 4] = ["routes", "groups", "upstreams", "allow"];

fn merge(whole: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { return };
    for (name, value) in part {
        match (whole.get_mut(&name), value) {
            // Other lists are the same in all that share a gateway.
            (Some(Value::Array(list)), Value::Array(more)) if OWN.contains(&name.as_str()) => list.extend(more),
            (Some(Value::Object(map)), Value::Object(more)) if name == "upstreams" => map.extend(more),
            (_, value) => drop(whole.insert(name, value)),
        }
    }
}
