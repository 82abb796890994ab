//! AWS sessions, instance metadata and the CloudWatch Logs pusher.
