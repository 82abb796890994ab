//! From a resolved configuration to running pipelines: graph, start and shutdown order, fan-out, telemetry.
