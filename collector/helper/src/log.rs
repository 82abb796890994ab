//! Who speaks in the log.

use component::Settings;
use pdata::Signal;

/// The component that a line of the log is from, as upstream's lines say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its id, as configured.
    pub id: String,
    /// `receiver`, `processor`, `exporter` or `extension`.
    pub kind: &'static str,
    /// The signal of the instance.
    pub signal: &'static str,
    /// The pipeline of a processor.
    pub pipeline: Option<String>,
}

impl Origin {
    /// The origin of what a component of these settings logs.
    pub fn new(settings: &Settings, signal: Signal) -> Self {
        Self {
            id: settings.id.to_string(),
            kind: settings.kind.as_str(),
            signal: signal.as_str(),
            pipeline: settings.pipeline.as_ref().map(ToString::to_string),
        }
    }
}

/// Logs with the fields of an [`Origin`]: `log!(warn, self.origin, error = %error, "Sender failed")`.
#[macro_export]
macro_rules! log {
    ($level:ident, $origin:expr, $($fields_and_message:tt)+) => {{
        let origin: &$crate::Origin = &$origin;
        $crate::tracing::$level!(
            "otelcol.component.id" = origin.id.as_str(),
            "otelcol.component.kind" = origin.kind,
            "otelcol.pipeline.id" = origin.pipeline.as_deref(),
            "otelcol.signal" = origin.signal,
            $($fields_and_message)+
        )
    }};
}
