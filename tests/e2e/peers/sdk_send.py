"""Sends one metric, one log record and one span through the OpenTelemetry SDK.

Usage: sdk_send.py grpc|http ENDPOINT COMPRESSION, where COMPRESSION is gzip or none.
"""

import logging
import sys

from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

protocol, endpoint, compression = sys.argv[1:]

if protocol == "grpc":
    import grpc
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    chosen = grpc.Compression.Gzip if compression == "gzip" else grpc.Compression.NoCompression
    options = {"compression": chosen, "insecure": True}

    def target(_signal):
        return endpoint
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    options = {"compression": Compression.Gzip if compression == "gzip" else Compression.NoCompression}

    def target(signal):
        return f"{endpoint}/v1/{signal}"


resource = Resource.create({"service.name": "peer", "service.namespace": "sdk"})

meters = MeterProvider(
    resource=resource,
    metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(target("metrics"), **options), 3_600_000)],
)
meter = meters.get_meter("peer-meter", "1.0")
meter.create_gauge("temperature", "Cel").set(21.5, {"room": "küche"})
meter.create_histogram("latency", "ms").record(12.0, {"route": "/"})
assert meters.force_flush(), "metrics were not accepted"

spans = TracerProvider(resource=resource)
spans.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(target("traces"), **options)))
with spans.get_tracer("peer-tracer").start_as_current_span("checkout") as span:
    span.set_attribute("items", 3)
    span.add_event("paid")
assert spans.force_flush(), "spans were not accepted"

logs = LoggerProvider(resource=resource)
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(target("logs"), **options)))
logger = logging.getLogger("peer")
logger.addHandler(LoggingHandler(logger_provider=logs))
logger.warning("disk is nearly full")
assert logs.force_flush(), "log records were not accepted"

for provider in (meters, spans, logs):
    provider.shutdown()
