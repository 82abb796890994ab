//! Secrets in configuration, logs, responses and files.
