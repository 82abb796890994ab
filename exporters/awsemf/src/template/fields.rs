//! The fields of an event in order, as text with gaps.

use super::{Content, Gap, Shape};
use crate::json::write_string;
use crate::labels::STORAGE_RESOLUTION;
use crate::metric::Metric;
use crate::rules::{Rules, Version};

/// A field of an event on its way into a template.
enum Field {
    Gap(Content),
    Text(String),
    /// `_aws`: directives and time.
    Envelope(String),
    /// Time as text.
    QuotedTimestamp,
}

#[derive(Default)]
pub(super) struct Builder {
    pub(super) text: String,
    pub(super) gaps: Vec<Gap>,
}

impl Builder {
    /// Writes all fields in order of their names. Where names are equal the later kind wins: labels, metrics, the
    /// Prometheus type, the envelope.
    pub(super) fn fields(
        &mut self,
        rules: &Rules,
        shape: &Shape<'_>,
        metrics: &[(usize, &Metric)],
        directives: Option<String>,
    ) {
        let mut fields: Vec<(&str, Field)> = Vec::new();
        for (at, label) in shape.labels.iter().enumerate() {
            if label.name != STORAGE_RESOLUTION {
                let content = if rules.is_json(label.name) { Content::Json(at) } else { Content::Label(at) };
                fields.push((label.name, Field::Gap(content)));
            }
        }
        fields.extend(
            metrics.iter().map(|(at, metric)| (metric.name.as_str(), Field::Gap(Content::Value(*at)))),
        );
        if shape.prometheus {
            fields.push(("prom_metric_type", Field::Text(shape.kind.prometheus_type().to_owned())));
        }
        match (rules.version, directives) {
            (Version::One, Some(directives)) => {
                fields.push(("Version", Field::Text("1".to_owned())));
                fields.push(("_aws", Field::Envelope(directives)));
            }
            (Version::Zero, directives) => {
                if let Some(directives) = directives {
                    fields.push(("Version", Field::Text("0".to_owned())));
                    fields.push(("CloudWatchMetrics", Field::Envelope(directives)));
                }
                fields.push(("Timestamp", Field::QuotedTimestamp));
            }
            (Version::One | Version::Other, _) => {}
        }
        fields.reverse();
        fields.sort_by(|a, b| a.0.cmp(b.0));
        fields.dedup_by(|earlier, winner| earlier.0 == winner.0);
        self.text.push('{');
        for (name, field) in fields {
            if self.text.len() > 1 || !self.gaps.is_empty() {
                self.text.push(',');
            }
            write_string(&mut self.text, name);
            self.text.push(':');
            self.field(rules.version, field);
        }
        self.text.push('}');
    }

    fn field(&mut self, version: Version, field: Field) {
        match field {
            Field::Gap(content @ Content::Label(_)) => {
                self.text.push('"');
                self.gap(content);
                self.text.push('"');
            }
            Field::Gap(content) => self.gap(content),
            Field::Text(text) => write_string(&mut self.text, &text),
            Field::Envelope(directives) if version == Version::One => {
                self.text.push_str("{\"CloudWatchMetrics\":");
                self.text.push_str(&directives);
                self.text.push_str(",\"Timestamp\":");
                self.gap(Content::Timestamp);
                self.text.push('}');
            }
            Field::Envelope(directives) => self.text.push_str(&directives),
            Field::QuotedTimestamp => {
                self.text.push('"');
                self.gap(Content::Timestamp);
                self.text.push('"');
            }
        }
    }

    fn gap(&mut self, content: Content) {
        self.gaps.push(Gap { at: self.text.len(), content });
    }
}
