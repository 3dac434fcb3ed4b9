//! The application: everything that its manifest asks for, loaded, checked and ready to start instances.

use crate::allowed_hosts::AllowedHosts;
use crate::assets::Assets;
use crate::bindings;
use crate::error::Error;
use crate::instance::{Data, Idle, Instance, Reuse};
use crate::key_value::KeyValue;
use crate::manifest::{Manifest, Mapping, Route};
use crate::outbound::Outbound;
use crate::variables::{self, Variables};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::{Component, Linker};
use wasmtime::{Cache, CacheConfig, Config, Engine, PoolingAllocationConfig, Store};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{HandlerState, Instance as Worker, ProxyHandler, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;

/// Where the application comes from, and what the command line changes about it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The manifest.
    pub manifest: PathBuf,
    /// Files that replace or join those of the manifest; relative to the working folder.
    pub files: Vec<Mapping>,
    /// `--variable` arguments.
    pub variables: Vec<String>,
    /// Pairs that are put into the store `default`.
    pub key_values: Vec<(String, String)>,
    /// Patterns that join `allowed_outbound_hosts`.
    pub allowed_hosts: Vec<String>,
    /// Where state is kept; the manifest's folder has a `.spin` for it otherwise.
    pub state: Option<PathBuf>,
    /// More certificates to trust.
    pub roots: Option<PathBuf>,
}

/// A loaded application.
pub struct Application {
    /// The route of its trigger.
    pub route: Route,
    /// Its variables.
    pub variables: Variables,
    /// Its key-value stores.
    pub key_value: Arc<KeyValue>,
    /// How it sends requests.
    pub outbound: Outbound,
    environment: BTreeMap<String, String>,
    assets: Assets,
    engine: Engine,
    component: ServicePre<Instance>,
}

impl Application {
    /// Reads the manifest and all that it names.
    pub fn load(origin: &Origin, engine: &Engine) -> Result<Arc<Self>, Error> {
        let manifest = Manifest::read(&origin.manifest)?;
        let given = variables::given(&origin.variables)?;
        let environment = |name: &str| std::env::var(name).ok();
        let variables = Variables::new(&manifest.variables, &manifest.component.variables, &given, environment)?;
        for name in variables.missing() {
            eprintln!("postern-spin-host: the variable `{name}` is required and has no value");
        }
        let mut patterns = origin.allowed_hosts.clone();
        for pattern in &manifest.component.allowed_outbound_hosts {
            patterns.push(variables.expand(pattern).map_err(|missing| Error::AllowedHost {
                pattern: pattern.clone(),
                problem: format!("the variable `{missing}` has no value"),
            })?);
        }
        let state = origin.state.clone().unwrap_or_else(|| manifest.resolve(Path::new(".spin")));
        Ok(Arc::new(Self {
            key_value: Arc::new(KeyValue::open(&manifest.component.key_value_stores, &state, &origin.key_values)?),
            outbound: Outbound::new(AllowedHosts::parse(patterns)?, origin.roots.as_deref())?,
            assets: assets(&manifest, &origin.files)?,
            component: component(&manifest.resolve(&manifest.component.source), engine)?,
            environment: manifest.component.environment,
            route: manifest.route,
            engine: engine.clone(),
            variables,
        }))
    }

    /// Starts instances as requests come.
    pub fn handler(self: Arc<Self>) -> Handler {
        ProxyHandler::new(Starter(self))
    }
}

/// Hands requests to instances.
pub type Handler = ProxyHandler<Starter>;

/// Starts an application's instances.
pub struct Starter(Arc<Application>);

impl Starter {
    /// The application.
    pub fn application(&self) -> &Application {
        &self.0
    }
}

impl HandlerState for Starter {
    type StoreData = Instance;
    type WorkerExpiration = Idle;
    type WorkerState = Reuse;

    async fn instantiate(&self) -> wasmtime::Result<Worker<Instance, Idle, Reuse>> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.inherit_stdout().inherit_stderr();
        for (name, value) in &self.0.environment {
            wasi.env(name, value);
        }
        if let Some(folder) = self.0.assets.folder() {
            wasi.preopened_dir(folder, "/", FsPerms::ReadOnly)?;
        }
        let mut store = Store::new(&self.0.engine, Instance::new(self.0.clone(), wasi.build()));
        let proxy = ProxyPre::P3(self.0.component.clone()).instantiate_async(&mut store).await?;
        Ok(Worker { store, proxy, view: WasiHttpView::http, expiration: Idle::new(), state: Reuse })
    }
}

/// Wasmtime as Spin sets it up, with compiled components kept in `cache`.
pub fn engine(cache: &Path) -> Result<Engine, Error> {
    let wrong = |error: wasmtime::Error| Error::Engine(format!("{error:#}"));
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let mut cached = CacheConfig::new();
    cached.with_directory(cache);
    config.cache(Some(Cache::new(cached).map_err(wrong)?));
    let mut pooled = config.clone();
    pooled.allocation_strategy(pool());
    Engine::new(&pooled).or_else(|error| {
        // The pool reserves terabytes of addresses, which a limit may forbid. Spin then does without it, too.
        eprintln!("postern-spin-host: without a pool of memory, so measurements differ from Spin's: {error:#}");
        Engine::new(&config).map_err(wrong)
    })
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES)
        .total_stacks(INSTANCES)
        .max_component_instance_size(10 << 20)
        .max_core_instances_per_component(200)
        .max_tables_per_component(20)
        .table_elements(100_000)
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10);
    pool
}

fn assets(manifest: &Manifest, replaced: &[Mapping]) -> Result<Assets, Error> {
    let is_replaced = |mapping: &Mapping| replaced.iter().any(|other| other.destination == mapping.destination);
    let kept =
        manifest.component.files.iter().filter(|mapping| !is_replaced(mapping)).map(|mapping| Mapping {
            source: manifest.resolve(&mapping.source),
            destination: mapping.destination.clone(),
        });
    let mappings: Vec<Mapping> = kept.chain(replaced.iter().cloned()).collect();
    Assets::copy(&mappings, Path::to_path_buf)
}

fn component(path: &Path, engine: &Engine) -> Result<ServicePre<Instance>, Error> {
    let load = || {
        let component = Component::from_file(engine, path)?;
        let mut linker = Linker::<Instance>::new(engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        bindings::spin::key_value::key_value::add_to_linker::<_, Data>(&mut linker, |instance| instance)?;
        bindings::wasi::keyvalue::store::add_to_linker::<_, Data>(&mut linker, |instance| instance)?;
        bindings::wasi::keyvalue::atomics::add_to_linker::<_, Data>(&mut linker, |instance| instance)?;
        bindings::spin::redis::redis::add_to_linker::<_, Data>(&mut linker, |instance| instance)?;
        bindings::spin::variables::variables::add_to_linker::<_, Data>(&mut linker, |instance| instance)?;
        ServicePre::new(linker.instantiate_pre(&component)?)
    };
    load()
        .map_err(|error: wasmtime::Error| Error::Component { path: path.to_path_buf(), problem: format!("{error:#}") })
}

const INSTANCES: u32 = 1_000;
