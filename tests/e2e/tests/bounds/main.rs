//! Bounds of time, memory and secrecy: one test per row of the table in `SECURITY.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a test program")]

mod connections;
mod process;
mod soak;
