//! Keeps the component's stack small.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        // Spin keeps an instance's memory and rewrites it for the next one: with the usual megabyte of stack, that is
        // what a request costs most (docs/benchmarks.md).
        // Messages of gRPC are read by recursion, which has a bound (gateway-core/src/grpc/message.rs) that needs some.
        let size = if std::env::var_os("CARGO_FEATURE_GRPC").is_some() { 128 << 10 } else { 64 << 10 };
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={size}");
    }
}
