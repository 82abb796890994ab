//! Bounds of time, memory and secrecy: one test per row of the table in `SECURITY.md`.

mod connections;
mod hostile_servers;
mod memory;
mod process;
mod secrets;
mod soak;
mod translation;
