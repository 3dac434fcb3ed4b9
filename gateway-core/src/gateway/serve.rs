//! What the gateway answers of itself: how it is, and what is taken back from its caches.

use super::{Gateway, Reply};
#[cfg(feature = "cache")]
use crate::cache::purge::{self, Change};
use crate::error::Error;
#[cfg(feature = "cache")]
use crate::http::Body;
use crate::platform::Platform;
#[cfg(feature = "cache")]
use crate::platform::StoreError;
#[cfg(feature = "cache")]
use crate::request;
use crate::serve::{self, Endpoint};
use crate::template::Scope;

impl Gateway {
    /// What the gateway knows of itself.
    pub(super) async fn serve<P: Platform>(
        &self,
        platform: &P,
        endpoint: Endpoint,
        scope: &Scope<'_>,
    ) -> Reply<P::Stream> {
        let served = match endpoint {
            Endpoint::Live => Ok(serve::live()),
            Endpoint::Ready => {
                // Boxed, so that the common case need not carry its size around.
                let stores = Box::pin(serve::stores(self, platform)).await;
                Ok(serve::ready(&self.upstreams, &stores, platform.now()))
            }
            Endpoint::Version => Ok(serve::version(&self.configuration, &self.globals.features)),
            #[cfg(feature = "telemetry")]
            Endpoint::Metrics => match &self.telemetry {
                Some(telemetry) => telemetry.prometheus(platform).await.map(serve::metrics),
                None => Err("the configuration has no metrics".to_owned()),
            },
            #[cfg(not(feature = "telemetry"))]
            Endpoint::Metrics => Err("this gateway was built without the feature telemetry".to_owned()),
        };
        match served {
            Ok(response) => Reply::answer(response),
            Err(reason) => Reply::because(platform, Error::MetricsUncertain { reason }, scope.route),
        }
    }

    /// Writes down what is taken back from caches. Other instances hear of it within [`purge::HOLD`].
    #[cfg(feature = "cache")]
    pub(super) async fn purge<P: Platform>(
        &self,
        platform: &P,
        body: Body<P::Stream>,
        route: &str,
    ) -> Reply<P::Stream> {
        let body = request::whole(platform, body, None, LONGEST_PURGE).await;
        let change = body.and_then(|body| Change::read(&body).map_err(|reason| Error::BadPurge { reason }));
        let change = match change {
            Ok(change) => change,
            Err(error) => return Reply::because(platform, error, route),
        };
        match self.take_back(platform, &change).await {
            Ok(()) => {
                let text = format!("{{\"purged\":{}}}", change.add.len());
                Reply::answer(serve::respond(200, "application/json", text))
            }
            Err(error) => Reply::because(platform, error, route),
        }
    }

    /// Has it written down what is taken back from caches, and heeds it.
    #[cfg(feature = "cache")]
    pub(crate) async fn take_back<P: Platform>(&self, platform: &P, change: &Change) -> Result<(), Error> {
        let failed = |error: StoreError| {
            let reason = format!("what is to be purged cannot be written down: {}", error.0);
            Error::PurgeFailed { reason }
        };
        let marks = platform.purges(purge::OWNER, change).await.map_err(failed)?;
        self.cache.purges.asks(platform.now());
        self.cache.purges.learn(marks);
        Ok(())
    }
}

/// The longest list of what is to be taken back from caches, in bytes.
#[cfg(feature = "cache")]
const LONGEST_PURGE: u64 = 256 << 10;
