//! gRPC and HTTP servers and clients, TLS and capped (de)compression.
