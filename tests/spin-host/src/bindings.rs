//! The interfaces of `wit/`, generated.

wasmtime::component::bindgen!({
    path: "wit",
    world: "postern:spin-host/host",
    imports: { default: async | trappable },
    with: {
        "spin:key-value/key-value.store": crate::key_value::Store,
        "spin:redis/redis.connection": crate::redis::Connection,
        "wasi:keyvalue/store.bucket": crate::key_value::Store,
        "wasi:keyvalue/atomics.cas": crate::key_value::Swap,
    },
});
