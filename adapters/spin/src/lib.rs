//! Postern on Spin.
