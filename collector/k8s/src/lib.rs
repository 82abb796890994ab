//! Kubernetes: who this node is, asked of the API server.
