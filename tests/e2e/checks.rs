//! A target says of itself that it is ill, and answers requests as if nothing were: only a check can find out. Every instance leaves
//! it all the same, also one that has just begun.

#![allow(clippy::panic, reason = "a test")]
#![allow(clippy::disallowed_methods, reason = "the ban on clocks is the core's; here they say when to give up")]

use postern_tests::Platform;
use postern_tests::client::{exchange, request};
use postern_tests::instances::Instances;
use postern_tests::origin::{Log, Origin, Then};
use postern_tests::running::Running;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn every_instance_leaves_a_target_that_checks_find_ill_on_workers() {
    let world = World::start();
    let mut instances = Instances::start(3, &world.configuration());
    let addresses = instances.addresses.clone();
    world.is_used(&addresses, &["first", "second", "third"]);
    world.ill.store(true, Ordering::SeqCst);
    world.is_used(&addresses, &["second", "third"]);
    // New isolates, which have seen nothing at all, ask before their first request.
    instances.restart();
    world.log.take();
    for address in &addresses {
        world.visit(*address);
    }
    assert!(!world.used().contains("first"), "a new instance knows what the others do");
    world.ill.store(false, Ordering::SeqCst);
    world.is_used(&addresses, &["first", "second", "third"]);
    // One object asks each target once a second, however many instances there are.
    world.is_checked_once_a_second();
    instances.stop();
}

#[test]
fn every_instance_leaves_a_target_that_checks_find_ill_on_spin() {
    let world = World::start();
    let gateway = Running::start(Platform::Spin, &world.configuration(), &BTreeMap::new()).expect("a gateway");
    // More requests at once than one instance takes.
    let addresses = [gateway.address; 24];
    world.is_used(&addresses, &["first", "second", "third"]);
    world.ill.store(true, Ordering::SeqCst);
    world.is_used(&addresses, &["second", "third"]);
    for _ in 0..3 {
        // Longer than Spin keeps an instance that has nothing to do, and shorter than what was found counts.
        thread::sleep(Duration::from_millis(1_200));
        world.log.take();
        world.visit(gateway.address);
        assert!(!world.used().contains("first"), "a new instance knows what the others do");
    }
    world.ill.store(false, Ordering::SeqCst);
    world.is_used(&addresses, &["first", "second", "third"]);
    world.is_checked_once_a_second_by(|| world.visit(gateway.address));
    gateway.stop().expect("nothing left");
}

/// Three targets, of which the first can be ill.
struct World {
    log: Arc<Log>,
    targets: Vec<Origin>,
    ill: Arc<AtomicBool>,
}

impl World {
    fn start() -> Self {
        let (log, ill) = (Arc::new(Log::default()), Arc::new(AtomicBool::new(false)));
        let targets = ["first", "second", "third"].map(|name| {
            let ill = ill.clone();
            let target = Origin::start(name, log.clone(), move |received, exchange| {
                let is_ill = name == "first" && ill.load(Ordering::SeqCst) && received.target == b"/health";
                exchange.write(if is_ill {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndraining"
                } else {
                    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nready"
                })?;
                Ok(Then::Keep)
            });
            target.expect("an origin")
        });
        Self { log, targets: targets.into(), ill }
    }

    fn configuration(&self) -> Value {
        let targets: Vec<_> =
            self.targets.iter().map(|target| json!({ "url": format!("http://{}", target.address) })).collect();
        json!({
            "upstreams": { "three": {
                "targets": targets,
                "health": { "check": {
                    "http": { "path": "/health", "matches": "^(ready|busy)$" },
                    "interval": "1s", "timeout": "500ms", "unhealthy_after": 2, "healthy_after": 2,
                } },
            } },
            "routes": [{ "name": "all", "path_prefix": "/", "upstream": "three" }],
            "allow": ["clear-text"],
        })
    }

    fn visit(&self, address: SocketAddr) {
        let seen = exchange(address, &request("GET", "/x", "checks.test", &[], b""), "GET").expect("a response");
        assert_eq!((seen.status, seen.body.as_slice()), (200, &b"ready"[..]));
    }

    /// Who has had requests of clients since the last time.
    fn used(&self) -> BTreeSet<String> {
        let received = self.log.take().into_iter();
        received.filter(|received| received.target == b"/x").map(|received| received.origin).collect()
    }

    /// Sends requests to all addresses at once, until only these targets, and each of them, have got any.
    fn is_used(&self, addresses: &[SocketAddr], expected: &[&str]) {
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            self.log.take();
            thread::scope(|scope| {
                for address in addresses {
                    scope.spawn(|| (0..12).for_each(|_| self.visit(*address)));
                }
            });
            let used = self.used();
            if used == expected {
                return;
            }
            assert!(Instant::now() < patience, "expected {expected:?}, and these get requests: {used:?}");
            thread::sleep(Duration::from_millis(250));
        }
    }

    fn is_checked_once_a_second(&self) {
        self.is_checked_once_a_second_by(|| {});
    }

    /// Counts checks for some seconds. Machines can be slow, so it may be fewer; it must not be more.
    fn is_checked_once_a_second_by(&self, keep_going: impl Fn()) {
        self.log.take();
        let begun = Instant::now();
        for _ in 0..40 {
            keep_going();
            thread::sleep(Duration::from_millis(100));
        }
        let most = begun.elapsed().as_secs() as usize + 2;
        let checks = self.log.take().into_iter().filter(|received| received.target == b"/health");
        let mut by_target: BTreeMap<String, usize> = BTreeMap::new();
        for received in checks {
            assert_eq!(received.all("user-agent").next(), Some(&b"postern-check"[..]));
            *by_target.entry(received.origin).or_default() += 1;
        }
        assert_eq!(by_target.len(), 3, "{by_target:?}");
        assert!(by_target.values().all(|count| (1..=most).contains(count)), "{by_target:?} of at most {most}");
    }
}
