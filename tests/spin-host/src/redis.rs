//! `spin:redis`: commands to a Redis that the manifest allows.

use crate::bindings::spin::redis::redis as wit;
use crate::instance::{Data, Instance};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Value};
use wasmtime::Result;
use wasmtime::component::{Accessor, Resource};

/// A connection that a component has opened.
#[derive(Clone)]
pub struct Connection(MultiplexedConnection);

type Outcome<T> = Result<std::result::Result<T, wit::Error>>;

/// Sends a command, and reads its answer as this type.
async fn ask<T: FromRedisValue, D>(
    accessor: &Accessor<D, Data>,
    connection: &Resource<Connection>,
    command: &mut Cmd,
) -> Outcome<T> {
    let mut open = accessor.with(|mut access| wasmtime::error::Ok(access.get().table.get(connection)?.clone()))?;
    Ok(command.query_async(&mut open.0).await.map_err(|error| wit::Error::Other(error.to_string())))
}

impl wit::Host for &mut Instance {}

impl wit::HostConnection for &mut Instance {
    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl<T> wit::HostConnectionWithStore<T> for Data {
    async fn open(accessor: &Accessor<T, Self>, address: String) -> Outcome<Resource<Connection>> {
        let Ok(uri) = address.parse() else { return Ok(Err(wit::Error::InvalidAddress)) };
        if !accessor.with(|mut access| access.get().application.outbound.permits(&uri)) {
            eprintln!("postern-spin-host: a Redis was refused: add its address to allowed_outbound_hosts");
            return Ok(Err(wit::Error::InvalidAddress));
        }
        let Ok(client) = redis::Client::open(address) else { return Ok(Err(wit::Error::InvalidAddress)) };
        // Spin sets no limits on the time.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        match client.get_multiplexed_async_connection_with_config(&config).await {
            Ok(open) => accessor.with(|mut access| Ok(Ok(access.get().table.push(Connection(open))?))),
            Err(error) => Ok(Err(wit::Error::Other(error.to_string()))),
        }
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        channel: String,
        payload: Vec<u8>,
    ) -> Outcome<()> {
        ask(accessor, &connection, redis::cmd("PUBLISH").arg(channel).arg(payload)).await
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Outcome<Option<Vec<u8>>> {
        ask(accessor, &connection, redis::cmd("GET").arg(key)).await
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        value: Vec<u8>,
    ) -> Outcome<()> {
        ask(accessor, &connection, redis::cmd("SET").arg(key).arg(value)).await
    }

    async fn incr(accessor: &Accessor<T, Self>, connection: Resource<Connection>, key: String) -> Outcome<i64> {
        ask(accessor, &connection, redis::cmd("INCR").arg(key)).await
    }

    async fn del(accessor: &Accessor<T, Self>, connection: Resource<Connection>, keys: Vec<String>) -> Outcome<u32> {
        ask(accessor, &connection, redis::cmd("DEL").arg(keys)).await
    }

    async fn sadd(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Outcome<u32> {
        ask(accessor, &connection, redis::cmd("SADD").arg(key).arg(values)).await
    }

    async fn smembers(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
    ) -> Outcome<Vec<String>> {
        ask(accessor, &connection, redis::cmd("SMEMBERS").arg(key)).await
    }

    async fn srem(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        key: String,
        values: Vec<String>,
    ) -> Outcome<u32> {
        ask(accessor, &connection, redis::cmd("SREM").arg(key).arg(values)).await
    }

    async fn execute(
        accessor: &Accessor<T, Self>,
        connection: Resource<Connection>,
        command: String,
        arguments: Vec<wit::RedisParameter>,
    ) -> Outcome<Vec<wit::RedisResult>> {
        let mut command = redis::cmd(&command);
        for argument in arguments {
            match argument {
                wit::RedisParameter::Int64(number) => command.arg(number),
                wit::RedisParameter::Binary(bytes) => command.arg(bytes),
            };
        }
        let answer: std::result::Result<Value, _> = ask(accessor, &connection, &mut command).await?;
        Ok(answer.and_then(|answer| {
            let mut results = Vec::new();
            flatten(answer, &mut results)?;
            Ok(results)
        }))
    }
}

/// Lists become one list, as in Spin.
fn flatten(answer: Value, results: &mut Vec<wit::RedisResult>) -> std::result::Result<(), wit::Error> {
    results.push(match answer {
        Value::Nil => wit::RedisResult::Nil,
        Value::Int(number) => wit::RedisResult::Int64(number),
        Value::BulkString(bytes) => wit::RedisResult::Binary(bytes),
        Value::SimpleString(text) => wit::RedisResult::Status(text),
        Value::Okay => wit::RedisResult::Status("OK".to_owned()),
        Value::Array(items) | Value::Set(items) => {
            return items.into_iter().try_for_each(|item| flatten(item, results));
        }
        _ => return Err(wit::Error::TypeError),
    });
    Ok(())
}
