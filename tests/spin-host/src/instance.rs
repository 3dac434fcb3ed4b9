//! One instance of the component: what it can reach, how many requests it takes and when it goes.

use crate::application::Application;
use crate::bindings::spin::variables::variables as wit;
use crate::outbound::Outbound;
use crate::variables::NoValue;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use wasmtime::component::{Accessor, GuestTaskId, HasData, ResourceTable};
use wasmtime::{Result, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The host's side of an instance.
pub struct Instance {
    /// The handles that the instance holds.
    pub table: ResourceTable,
    /// The application that the instance is of; kept, with its files, until the instance goes.
    pub application: Arc<Application>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
}

impl Instance {
    /// The host's side of a new instance.
    pub fn new(application: Arc<Application>, wasi: WasiCtx) -> Self {
        let outbound = application.outbound.clone();
        Self { table: ResourceTable::new(), application, wasi, http: WasiHttpCtx::new(), outbound }
    }
}

impl WasiView for Instance {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Instance {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Tells the generated bindings that their data is the [`Instance`].
pub struct Data;

impl HasData for Data {
    type Data<'a> = &'a mut Instance;
}

impl wit::Host for &mut Instance {}

impl<T> wit::HostWithStore<T> for Data {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<std::result::Result<String, wit::Error>> {
        let value = accessor.with(|mut access| access.get().application.variables.value(&name));
        Ok(value.map_err(|error| match error {
            NoValue::InvalidName(problem) => wit::Error::InvalidName(problem),
            NoValue::Undefined(name) => wit::Error::Undefined(name),
        }))
    }
}

/// Spin's defaults for the reuse of instances.
pub struct Reuse;

impl Reuse {
    const REQUESTS: usize = 128;
    const AT_ONCE: usize = 16;
    const IDLE: Duration = Duration::from_secs(1);
}

impl WorkerState for Reuse {
    type StoreData = Instance;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, so_far: usize) -> ShouldAccept {
        if so_far >= Self::REQUESTS {
            ShouldAccept::Never
        } else if at_once >= Self::AT_ONCE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Instance>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        // Spin sets no limit on a request's time by default.
        Box::pin(std::future::pending())
    }

    fn drop(&self, store: Store<Instance>, outcome: Result<()>) {
        if let Err(error) = outcome
            && !SILENT.load(Ordering::Relaxed)
        {
            eprintln!("postern-spin-host: an instance failed: {error:?}");
        }
        drop(store);
    }
}

/// From here on instances end because the host does, which is no failure of theirs.
pub fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

static SILENT: AtomicBool = AtomicBool::new(false);

/// Ends an instance that has been idle for too long.
pub struct Idle(Pin<Box<tokio::time::Sleep>>);

impl Idle {
    /// A timer that has not started.
    pub fn new() -> Self {
        Self(Box::pin(tokio::time::sleep(Reuse::IDLE)))
    }
}

impl WorkerExpiration for Idle {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, since: Instant) -> Poll<()> {
        match status {
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
            WorkerStatus::Idle => {
                self.0.as_mut().reset((since + Reuse::IDLE).into());
                self.0.as_mut().poll(cx)
            }
        }
    }
}
