//! TLS through rustls with aws-lc-rs.

mod client;
mod material;
mod server;

pub use client::ClientTls;
pub use server::ServerTls;
