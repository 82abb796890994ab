//! The binary over sockets and files.
