//! `spin:key-value` and `wasi:keyvalue`: one SQLite database, as Spin has it by default.

use crate::bindings::spin::key_value::key_value as wit;
use crate::bindings::wasi::keyvalue::{atomics, store as wasi};
use crate::error::Error;
use crate::instance::{Data, Instance};
use rusqlite::{Connection, OptionalExtension};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::Result;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

/// The stores that the component may open.
#[derive(Debug)]
pub struct KeyValue {
    labels: Vec<String>,
    database: Option<Mutex<Connection>>,
}

/// A store that a component has opened.
#[derive(Debug, Clone)]
pub struct Store {
    label: String,
    stores: Arc<KeyValue>,
}

impl KeyValue {
    /// Opens the database in the folder, if there is any store to keep in it, and puts pairs into the one called `default`.
    pub fn open(labels: &[String], folder: &Path, pairs: &[(String, String)]) -> Result<Self, Error> {
        let path = folder.join("sqlite_key_value.db");
        if labels.is_empty() {
            return Ok(Self { labels: Vec::new(), database: None });
        }
        let database = connect(&path)?;
        for (key, value) in pairs {
            let put = database.execute(PUT, ("default", key, value.as_bytes()));
            put.map_err(|error| Error::KeyValue { path: path.clone(), problem: error.to_string() })?;
        }
        Ok(Self { labels: labels.to_vec(), database: Some(Mutex::new(database)) })
    }
}

impl Store {
    fn with<T>(
        &self,
        query: impl FnOnce(&Connection, &str) -> rusqlite::Result<T>,
    ) -> std::result::Result<T, wit::Error> {
        let database = self.stores.database.as_ref().ok_or(wit::Error::NoSuchStore)?;
        // SQLite blocks this thread: the runtime moves its other work to another one meanwhile.
        tokio::task::block_in_place(|| {
            let connection = database.lock().unwrap_or_else(PoisonError::into_inner);
            query(&connection, &self.label).map_err(|error| wit::Error::Other(error.to_string()))
        })
    }

    fn get(&self, key: &str) -> std::result::Result<Option<Vec<u8>>, wit::Error> {
        self.with(|connection, label| {
            connection
                .prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .query_row((label, key), |row| row.get(0))
                .optional()
        })
    }

    fn set(&self, key: &str, value: &[u8]) -> std::result::Result<(), wit::Error> {
        self.with(|connection, label| connection.prepare_cached(PUT)?.execute((label, key, value)).map(drop))
    }

    fn delete(&self, key: &str) -> std::result::Result<(), wit::Error> {
        self.with(|connection, label| {
            connection
                .prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .execute((label, key))
                .map(drop)
        })
    }

    /// Adds in one step, also for other hosts on the same folder. The value is eight bytes, as in Spin.
    fn increment(&self, key: &str, delta: i64) -> std::result::Result<i64, wit::Error> {
        let sum = self.with(|connection, label| {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            let add = || {
                let before: Option<Vec<u8>> = connection
                    .prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                    .query_row((label, key), |row| row.get(0))
                    .optional()?;
                let Ok(before) = before.map_or(Ok([0; 8]), <[u8; 8]>::try_from) else { return Ok(None) };
                let sum = i64::from_le_bytes(before).wrapping_add(delta);
                connection.prepare_cached(PUT)?.execute((label, key, sum.to_le_bytes()))?;
                Ok(Some(sum))
            };
            let sum = add();
            connection.execute_batch(if sum.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            sum
        })?;
        // Where Spin itself would panic.
        sum.ok_or_else(|| wit::Error::Other("the value is not eight bytes".to_owned()))
    }
}

const PUT: &str = "INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)";

/// Compare and swap, which Spin's own stores get wrong: whoever asks for it is told so.
#[derive(Debug)]
pub struct Swap;

fn connect(path: &PathBuf) -> Result<Connection, Error> {
    let wrong = |problem: String| Error::KeyValue { path: path.clone(), problem };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| wrong(error.to_string()))?;
    }
    let connect = || {
        let connection = Connection::open(path)?;
        // Another host on the same folder may be writing.
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, \
             PRIMARY KEY (store, key))",
            [],
        )?;
        Ok(connection)
    };
    connect().map_err(|error: rusqlite::Error| wrong(error.to_string()))
}

fn store<T>(accessor: &Accessor<T, Data>, store: &Resource<Store>) -> Result<Store> {
    accessor.with(|mut access| Ok(access.get().table.get(store)?.clone()))
}

impl wit::Host for &mut Instance {}

impl wit::HostStore for &mut Instance {
    async fn drop(&mut self, store: Resource<Store>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

impl<T> wit::HostStoreWithStore<T> for Data {
    async fn open(
        accessor: &Accessor<T, Self>,
        label: String,
    ) -> Result<std::result::Result<Resource<Store>, wit::Error>> {
        accessor.with(|mut access| {
            let instance = access.get();
            let stores = instance.application.key_value.clone();
            if !stores.labels.contains(&label) {
                return Ok(Err(wit::Error::AccessDenied));
            }
            Ok(Ok(instance.table.push(Store { label, stores })?))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
        key: String,
    ) -> Result<std::result::Result<Option<Vec<u8>>, wit::Error>> {
        Ok(store(accessor, &resource)?.get(&key))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<std::result::Result<(), wit::Error>> {
        Ok(store(accessor, &resource)?.set(&key, &value))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
        key: String,
    ) -> Result<std::result::Result<(), wit::Error>> {
        Ok(store(accessor, &resource)?.delete(&key))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
        key: String,
    ) -> Result<std::result::Result<bool, wit::Error>> {
        Ok(store(accessor, &resource)?.get(&key).map(|value| value.is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
    ) -> Result<(StreamReader<String>, FutureReader<std::result::Result<(), wit::Error>>)> {
        let keys = store(accessor, &resource)?.with(|connection, label| {
            connection
                .prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1")?
                .query_map([label], |row| row.get::<_, String>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()
        });
        let (keys, outcome) = match keys {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        accessor.with(|mut access| {
            let keys = StreamReader::new(&mut access, keys)?;
            Ok((keys, FutureReader::new(&mut access, async move { wasmtime::error::Ok(outcome) })?))
        })
    }
}

/// The same stores by the names of WASI. Only what the gateway asks for; the rest fails in words.
impl wasi::Host for &mut Instance {
    async fn open(&mut self, label: String) -> Result<std::result::Result<Resource<Store>, wasi::Error>> {
        let stores = self.application.key_value.clone();
        if !stores.labels.contains(&label) {
            return Ok(Err(wasi::Error::AccessDenied));
        }
        Ok(Ok(self.table.push(Store { label, stores })?))
    }
}

impl wasi::HostBucket for &mut Instance {
    async fn get(
        &mut self,
        bucket: Resource<Store>,
        key: String,
    ) -> Result<std::result::Result<Option<Vec<u8>>, wasi::Error>> {
        Ok(self.table.get(&bucket)?.get(&key).map_err(translate))
    }

    async fn set(
        &mut self,
        bucket: Resource<Store>,
        key: String,
        value: Vec<u8>,
    ) -> Result<std::result::Result<(), wasi::Error>> {
        Ok(self.table.get(&bucket)?.set(&key, &value).map_err(translate))
    }

    async fn delete(&mut self, bucket: Resource<Store>, key: String) -> Result<std::result::Result<(), wasi::Error>> {
        Ok(self.table.get(&bucket)?.delete(&key).map_err(translate))
    }

    async fn exists(&mut self, bucket: Resource<Store>, key: String) -> Result<std::result::Result<bool, wasi::Error>> {
        Ok(self.table.get(&bucket)?.get(&key).map(|value| value.is_some()).map_err(translate))
    }

    async fn list_keys(
        &mut self,
        _: Resource<Store>,
        _: Option<String>,
    ) -> Result<std::result::Result<wasi::KeyResponse, wasi::Error>> {
        Ok(Err(wasi::Error::Other("this host lists no keys here".to_owned())))
    }

    async fn drop(&mut self, bucket: Resource<Store>) -> Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for &mut Instance {
    async fn increment(
        &mut self,
        bucket: Resource<Store>,
        key: String,
        delta: i64,
    ) -> Result<std::result::Result<i64, wasi::Error>> {
        Ok(self.table.get(&bucket)?.increment(&key, delta).map_err(translate))
    }

    async fn swap(&mut self, _: Resource<Swap>, _: Vec<u8>) -> Result<std::result::Result<(), atomics::CasError>> {
        Ok(Err(atomics::CasError::StoreError(wasi::Error::Other(NO_SWAP.to_owned()))))
    }
}

impl atomics::HostCas for &mut Instance {
    async fn new(&mut self, _: Resource<Store>, _: String) -> Result<std::result::Result<Resource<Swap>, wasi::Error>> {
        Ok(Err(wasi::Error::Other(NO_SWAP.to_owned())))
    }

    async fn current(&mut self, _: Resource<Swap>) -> Result<std::result::Result<Option<Vec<u8>>, wasi::Error>> {
        Ok(Err(wasi::Error::Other(NO_SWAP.to_owned())))
    }

    async fn drop(&mut self, swap: Resource<Swap>) -> Result<()> {
        self.table.delete(swap)?;
        Ok(())
    }
}

const NO_SWAP: &str = "this host does not compare and swap: Spin's own stores do it wrongly";

fn translate(error: wit::Error) -> wasi::Error {
    match error {
        wit::Error::NoSuchStore => wasi::Error::NoSuchStore,
        wit::Error::AccessDenied => wasi::Error::AccessDenied,
        wit::Error::StoreTableFull => wasi::Error::Other("too many stores are open".to_owned()),
        wit::Error::Other(problem) => wasi::Error::Other(problem),
    }
}
