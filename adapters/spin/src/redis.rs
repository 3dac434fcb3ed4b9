//! The owner of counters that is exact in everything: a Redis.
//!
//! The step is the core's own, and is done here: what Redis has is read, changed, and put in the place of what was read by a script,
//! if that is still what is there. If not, the script tells what is, and the step is done anew; some instance always gets
//! through. Instances remember what they have put there, so that most orders are one command.

use gateway_core::held::Halves;
use gateway_core::platform::{StoreError, Timestamp};
use gateway_core::quota::{self, Decision, Order};
use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};
use spin_sdk::wasip3::clocks::monotonic_clock;
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

thread_local! {
    static REDIS: RefCell<Option<Redis>> = const { RefCell::new(None) };
}

struct Redis {
    address: String,
    connection: Option<Rc<Connection>>,
    /// What is thought to stand under a key.
    last: Halves<String>,
}

/// Has limits counted there; `None`: by the key-value store.
pub fn count_at(address: Option<String>) {
    REDIS.set(address.map(|address| Redis { address, connection: None, last: Halves::default() }));
}

/// Does what is ordered, if this is where limits are counted.
pub async fn take(key: &str, order: &Order, now: impl Fn() -> Timestamp) -> Option<Result<Decision, StoreError>> {
    let address = REDIS.with_borrow(|redis| Some(redis.as_ref()?.address.clone()))?;
    let key = format!("postern/{key}");
    let taken = within(PATIENCE, count(&address, &key, order, now)).await;
    Some(taken.unwrap_or_else(|| {
        forget_connection();
        Err(StoreError("Redis does not answer".to_owned()))
    }))
}

async fn count(address: &str, key: &str, order: &Order, now: impl Fn() -> Timestamp) -> Result<Decision, StoreError> {
    let connection = connect(address).await?;
    let mut kept = with(|redis| redis.last.get(key)).flatten().unwrap_or_default();
    loop {
        let now = now();
        let step =
            quota::perform_on_kept_text(order, kept.as_bytes(), now).map_err(|error| StoreError(error.to_string()));
        let (step, next) = step?;
        let next = next.unwrap_or_else(|| kept.clone());
        // Whoever comes in between builds on it: its order goes the same way, behind this one.
        with(|redis| redis.last.put(key, next.clone()));
        let time = step.until.saturating_sub(now).saturating_add(SKEW).min(LONGEST);
        let text = |text: &str| RedisParameter::Binary(text.as_bytes().to_vec());
        let arguments = [text(SCRIPT), text("1"), text(key), text(&kept), text(&next), text(&time.to_string())];
        match connection.execute("EVAL", arguments).await.map_err(failed)?.pop() {
            Some(RedisResult::Nil) => return Ok(step.decision),
            Some(RedisResult::Binary(current)) => kept = String::from_utf8_lossy(&current).into_owned(),
            Some(RedisResult::Status(_) | RedisResult::Int64(_)) | None => {
                return Err(StoreError("Redis answers a script with something else".to_owned()));
            }
        }
    }
}

/// Replaces what is there, if it is what was read, and says nothing; else says what is there.
const SCRIPT: &str = "\
local there = redis.call('GET', KEYS[1]) or ''
if there ~= ARGV[1] then return there end
if ARGV[2] ~= there then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return nil";

/// How long counting may take before it has failed, in milliseconds.
const PATIENCE: u64 = 2_000;

/// How far the clocks of two machines may be apart before one of them forgets what the other still counts, in milliseconds.
const SKEW: u64 = 60_000;

/// Nobody waits longer, in milliseconds.
const LONGEST: u64 = 366 * 86_400_000;

fn with<T>(then: impl FnOnce(&mut Redis) -> T) -> Option<T> {
    REDIS.with_borrow_mut(|redis| redis.as_mut().map(then))
}

/// The instance's connection, which all of its requests share.
async fn connect(address: &str) -> Result<Rc<Connection>, StoreError> {
    if let Some(connection) = with(|redis| redis.connection.clone()).flatten() {
        return Ok(connection);
    }
    let connection = Rc::new(Connection::open(address).await.map_err(failed)?);
    with(|redis| redis.connection = Some(connection.clone()));
    Ok(connection)
}

/// The next order opens another one: this one may be broken.
fn forget_connection() {
    with(|redis| redis.connection = None);
}

fn failed(error: Error) -> StoreError {
    forget_connection();
    StoreError(match error {
        Error::InvalidAddress => {
            "the address of the Redis is none, or does not stand in `allowed_outbound_hosts` of spin.toml".to_owned()
        }
        Error::TooManyConnections => "too many connections to Redis are open".to_owned(),
        Error::TypeError => "Redis answers with something that cannot be read".to_owned(),
        Error::Other(problem) => format!("Redis: {problem}"),
    })
}

/// What comes of it, if that is known in so many milliseconds.
async fn within<T>(milliseconds: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut timer = pin!(monotonic_clock::wait_for(milliseconds * 1_000_000));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}
