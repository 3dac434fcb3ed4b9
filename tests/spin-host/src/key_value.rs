//! `spin:key-value`: one SQLite database, as Spin has it by default.

use crate::bindings::spin::key_value::key_value as wit;
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
    /// Opens the database in the folder, if there is any store to keep in it.
    pub fn open(labels: &[String], folder: &Path) -> Result<Self, Error> {
        let path = folder.join("sqlite_key_value.db");
        let database = if labels.is_empty() { None } else { Some(Mutex::new(connect(&path)?)) };
        Ok(Self { labels: labels.to_vec(), database })
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
}

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
        Ok(store(accessor, &resource)?.with(|connection, label| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)")?
                .execute((label, key, value))
                .map(drop)
        }))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        resource: Resource<Store>,
        key: String,
    ) -> Result<std::result::Result<(), wit::Error>> {
        Ok(store(accessor, &resource)?.with(|connection, label| {
            connection
                .prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?
                .execute((label, key))
                .map(drop)
        }))
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
