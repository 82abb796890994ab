//! The start-up report: what runs, where it listens, what was found and what was not, in one readable block.

use std::fmt::{self, Write as _};
use std::time::Duration;

use component::{BuildInfo, Host, Notice};

use crate::plan::PipelinePlan;

/// How long the report waits for searches in the background, such as for instance metadata.
const PATIENCE: Duration = Duration::from_secs(3);

/// A finished report.
pub(crate) struct Report(String);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) async fn gather(
    host: &Host,
    build: &BuildInfo,
    configuration: &str,
    pipelines: &[PipelinePlan],
) -> Report {
    // Without patience the report goes out without the answer: it is a courtesy, not a gate.
    let _ = tokio::time::timeout(PATIENCE, host.searches_ended()).await;
    render(&host.notices(), build, configuration, pipelines)
}

fn render(notices: &[Notice], build: &BuildInfo, configuration: &str, pipelines: &[PipelinePlan]) -> Report {
    let mut out = format!("{} {} is running\n", build.command, build.version);
    line(&mut out, "configuration", configuration);
    for (index, pipeline) in pipelines.iter().enumerate() {
        let text = format!("{}: {}", pipeline.id, route(pipeline));
        line(&mut out, if index == 0 { "pipelines" } else { "" }, &text);
    }
    list(&mut out, "listening", notices, |notice| match notice {
        Notice::Listening { what, address } => Some(format!("{address} ({what})")),
        _ => None,
    });
    list(&mut out, "found", notices, |notice| match notice {
        Notice::Found { what, detail } => Some(with_detail(what, detail)),
        _ => None,
    });
    list(&mut out, "not found", notices, |notice| match notice {
        Notice::NotFound { what, detail } => Some(with_detail(what, detail)),
        _ => None,
    });
    Report(out)
}

fn route(pipeline: &PipelinePlan) -> String {
    let ids =
        |ids: &[component::ComponentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut stages = vec![ids(&pipeline.receivers)];
    stages.extend(pipeline.processors.iter().map(ToString::to_string));
    stages.push(ids(&pipeline.exporters));
    stages.join(" → ")
}

fn with_detail(what: &str, detail: &str) -> String {
    if detail.is_empty() { what.to_owned() } else { format!("{what}: {detail}") }
}

fn list(out: &mut String, title: &str, notices: &[Notice], text: impl Fn(&Notice) -> Option<String>) {
    let mut title = title;
    for text in notices.iter().filter_map(text) {
        line(out, title, &text);
        title = "";
    }
}

fn line(out: &mut String, title: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {title:<14} {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use component::{ComponentId, PipelineId};

    #[test]
    fn a_report_says_what_where_and_what_not() {
        let build = BuildInfo {
            command: "otelcol-insights".into(),
            description: String::new(),
            version: "0.1.0".into(),
        };
        let ids = |ids: &[&str]| ids.iter().map(|id| ComponentId::parse(id).unwrap()).collect();
        let pipelines = [PipelinePlan {
            id: PipelineId::parse("metrics").unwrap(),
            receivers: ids(&["otlp", "awscontainerinsightreceiver"]),
            processors: ids(&["batch"]),
            exporters: ids(&["awsemf"]),
        }];
        let notices = [
            Notice::NotFound { what: "kubelet".into(), detail: "no pod records".into() },
            Notice::Listening { what: "OTLP/gRPC".into(), address: "127.0.0.1:4317".into() },
            Notice::Found { what: "cgroup v2".into(), detail: String::new() },
            Notice::Listening { what: "OTLP/HTTP".into(), address: "127.0.0.1:4318".into() },
        ];
        let expected = "\
otelcol-insights 0.1.0 is running
  configuration  built-in default
  pipelines      metrics: otlp, awscontainerinsightreceiver → batch → awsemf
  listening      127.0.0.1:4317 (OTLP/gRPC)
                 127.0.0.1:4318 (OTLP/HTTP)
  found          cgroup v2
  not found      kubelet: no pod records
";
        assert_eq!(render(&notices, &build, "built-in default", &pipelines).to_string(), expected);
    }
}
