//! The awsemf exporter: metrics as CloudWatch embedded metric format.
