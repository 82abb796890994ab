//! The otlp_grpc exporter: OTLP over gRPC.
