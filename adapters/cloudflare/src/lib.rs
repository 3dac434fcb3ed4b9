//! Postern on Cloudflare Workers.
