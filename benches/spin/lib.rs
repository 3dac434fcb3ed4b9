//! Components to measure the gateway on Spin against; they are the examples.
