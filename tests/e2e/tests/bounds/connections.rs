//! Connections, streams and bodies before any pipeline.
