//! The decoded configuration: what is to be built, checked as far as that is possible without building it.

use std::collections::BTreeMap;

use component::{AnyConfig, ComponentId, Kind, Meta, PipelineId, Registry};
use confmap::{Conf, Map, Node, Problems};
use pdata::Signal;
use serde::Deserialize;

use crate::telemetry::TelemetryConfig;

/// What a configuration asks for.
pub struct Plan {
    /// `service::telemetry`.
    pub telemetry: TelemetryConfig,
    pub(crate) receivers: Configured,
    pub(crate) processors: Configured,
    pub(crate) exporters: Configured,
    pub(crate) extensions: Configured,
    /// `service::extensions`, in order, without repeats.
    pub(crate) used_extensions: Vec<ComponentId>,
    /// `service::pipelines`, in order.
    pub(crate) pipelines: Vec<PipelinePlan>,
    /// What a person should be told although it is not wrong.
    pub warnings: Vec<String>,
}

/// The configured components of one kind.
pub(crate) type Configured = BTreeMap<ComponentId, AnyConfig>;

/// One pipeline.
#[derive(Debug, Clone)]
pub struct PipelinePlan {
    /// Its id, with its signal.
    pub id: PipelineId,
    /// Who brings data.
    pub receivers: Vec<ComponentId>,
    /// Who changes data, in order.
    pub processors: Vec<ComponentId>,
    /// Who sends data.
    pub exporters: Vec<ComponentId>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PipelineConfig {
    receivers: Vec<IdText>,
    processors: Vec<IdText>,
    exporters: Vec<IdText>,
}

/// An id as written. A type of its own, because a list of plain strings may also be written as text with commas, and
/// upstream refuses that for ids.
#[derive(Debug, Clone, Deserialize)]
struct IdText(String);

const TOP_LEVEL: [&str; 6] = ["receivers", "processors", "exporters", "connectors", "extensions", "service"];
const SERVICE: [&str; 3] = ["telemetry", "extensions", "pipelines"];

impl Plan {
    /// Decodes and checks a configuration. Every configured component is checked, whether a pipeline uses it or not.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn new(conf: &Conf, registry: &Registry) -> Result<Self, Problems> {
        let mut reader = Reader { problems: Problems::default(), warnings: Vec::new() };
        let plan = reader.plan(conf.root(), registry);
        let Reader { mut problems, warnings } = reader;
        if problems.is_empty() {
            Ok(Self { warnings, ..plan })
        } else {
            problems.locate(conf);
            Err(problems)
        }
    }

    /// The pipelines, in order.
    pub fn pipelines(&self) -> &[PipelinePlan] {
        &self.pipelines
    }
}

/// Collects problems and warnings while it reads.
struct Reader {
    problems: Problems,
    warnings: Vec<String>,
}

impl Reader {
    fn plan(&mut self, root: &Node, registry: &Registry) -> Plan {
        if root.as_map().is_none_or(Map::is_empty) {
            self.problems.report("empty configuration file");
        }
        self.unknown_keys(root, &TOP_LEVEL, "");
        let receivers = self.section(
            root,
            Kind::Receiver,
            |kind| registry.find_receiver(kind).map(|f| (&f.meta, Decoder::new(move |n, p| f.decode(n, p)))),
            &names(registry.receivers().map(|f| &f.meta)),
        );
        let processors = self.section(
            root,
            Kind::Processor,
            |kind| registry.find_processor(kind).map(|f| (&f.meta, Decoder::new(move |n, p| f.decode(n, p)))),
            &names(registry.processors().map(|f| &f.meta)),
        );
        let exporters = self.section(
            root,
            Kind::Exporter,
            |kind| registry.find_exporter(kind).map(|f| (&f.meta, Decoder::new(move |n, p| f.decode(n, p)))),
            &names(registry.exporters().map(|f| &f.meta)),
        );
        let extensions = self.section(
            root,
            Kind::Extension,
            |kind| registry.find_extension(kind).map(|f| (&f.meta, Decoder::new(move |n, p| f.decode(n, p)))),
            &names(registry.extensions().map(|f| &f.meta)),
        );
        self.section(root, Kind::Connector, |_| None, &[]);
        self.required(root, Kind::Receiver);
        self.required(root, Kind::Exporter);

        let service = root.get("service");
        if let Some(service) = service {
            self.unknown_keys(service, &SERVICE, "service");
        }
        let telemetry = self.telemetry(service.and_then(|service| service.get("telemetry")));
        let mut plan = Plan {
            telemetry,
            receivers,
            processors,
            exporters,
            extensions,
            used_extensions: Vec::new(),
            pipelines: Vec::new(),
            warnings: Vec::new(),
        };
        plan.used_extensions = self.extensions(service.and_then(|service| service.get("extensions")), root);
        plan.pipelines = self.pipelines(service.and_then(|service| service.get("pipelines")), root);
        plan
    }

    fn unknown_keys(&mut self, node: &Node, known: &[&str], path: &str) {
        let Some(map) = node.as_map() else {
            if !node.is_null() {
                let message = format!("expected a map or struct, got {:?}", node.go_kind());
                self.report(path, message);
            }
            return;
        };
        for (key, _) in map {
            if !known.contains(&key.name.as_str()) {
                let path = if path.is_empty() { key.name.clone() } else { format!("{path}::{}", key.name) };
                let message = format!("has invalid keys: {}", key.name);
                let help = format!("the known keys are {}", known.join(", "));
                self.problems.at(path, |problems| problems.report_with_help(message, help));
            }
        }
    }

    fn report(&mut self, path: &str, message: impl Into<String>) {
        if path.is_empty() {
            self.problems.report(message);
        } else {
            self.problems.at(path, |problems| problems.report(message));
        }
    }

    /// Decodes one of the top-level maps of components.
    fn section<'r>(
        &mut self,
        root: &Node,
        kind: Kind,
        find: impl Fn(&str) -> Option<(&'r Meta, Decoder<'r>)>,
        valid: &[&str],
    ) -> Configured {
        let section = kind.section();
        let mut configured = Configured::new();
        let Some(node) = root.get(section) else { return configured };
        let Some(map) = node.as_map() else {
            if !node.is_null() {
                self.report(section, format!("expected a map or struct, got {:?}", node.go_kind()));
            }
            return configured;
        };
        for (key, node) in map {
            let path = format!("{section}::{}", key.name);
            let id = match ComponentId::parse(&key.name) {
                Ok(id) => id,
                Err(error) => {
                    self.report(&path, error.to_string());
                    continue;
                }
            };
            let Some((meta, decoder)) = find(id.kind()) else {
                self.unknown_type(&path, section, &id, valid);
                continue;
            };
            if configured.contains_key(&id) {
                let message = format!("duplicate name {:?} after unmarshaling {id}", key.name);
                self.report(&path, message);
                continue;
            }
            if meta.deprecated_aliases.contains(&id.kind()) {
                let warning = format!("{:?} alias is deprecated; use {:?} instead", id.kind(), meta.kind);
                self.warnings.push(format!("{path}: {warning}"));
            }
            match decoder.decode(Some(node).filter(|node| !node.is_null()), &path) {
                Ok(config) => {
                    configured.insert(id, config);
                }
                Err(problems) => {
                    self.problems.merge(problems);
                    // Known, so that pipelines which use it are not reported as well.
                    configured.insert(id, std::sync::Arc::new(()));
                }
            }
        }
        configured
    }

    fn unknown_type(&mut self, path: &str, section: &str, id: &ComponentId, valid: &[&str]) {
        let message = if section == "exporters" && id.kind() == "logging" {
            "the logging exporter has been deprecated, use the debug exporter instead".to_owned()
        } else {
            format!(
                "'{section}' unknown type: {:?} for id: {:?} (valid values: [{}])",
                id.kind(),
                id.to_string(),
                valid.join(" ")
            )
        };
        match confmap::nearest(id.kind(), valid.iter().copied()) {
            Some(help) => self.problems.at(path, |problems| problems.report_with_help(message, help)),
            None => self.report(path, message),
        }
    }

    fn required(&mut self, root: &Node, kind: Kind) {
        if root.get(kind.section()).and_then(Node::as_map).is_none_or(Map::is_empty) {
            let message = format!("no {kind} configuration specified in config");
            let help = format!("the top-level key `{}` needs at least one entry", kind.section());
            self.problems.report_with_help(message, help);
        }
    }

    fn telemetry(&mut self, node: Option<&Node>) -> TelemetryConfig {
        match confmap::decode::<TelemetryConfig>(node, "service::telemetry") {
            Ok(config) => {
                let (problems, warnings) = (&mut self.problems, &mut self.warnings);
                problems.at("service::telemetry", |problems| config.validate(problems, warnings));
                config
            }
            Err(problems) => {
                self.problems.merge(problems);
                TelemetryConfig::default()
            }
        }
    }

    fn extensions(&mut self, node: Option<&Node>, root: &Node) -> Vec<ComponentId> {
        let names: Vec<IdText> = self.decode(node, "service::extensions");
        let mut ids = Vec::new();
        for IdText(name) in names {
            if let Some(id) = self.reference(&name, Kind::Extension, root, "service::extensions")
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        ids
    }

    fn pipelines(&mut self, node: Option<&Node>, root: &Node) -> Vec<PipelinePlan> {
        let path = "service::pipelines";
        let Some(map) = node.and_then(Node::as_map).filter(|map| !map.is_empty()) else {
            self.report(path, "service must have at least one pipeline");
            return Vec::new();
        };
        map.iter()
            .filter_map(|(key, node)| {
                let path = format!("{path}::{}", key.name);
                match PipelineId::parse(&key.name) {
                    Ok(id) => Some(self.pipeline(id, node, root, &path)),
                    Err(error) => {
                        self.report(&path, error.to_string());
                        None
                    }
                }
            })
            .collect()
    }

    fn pipeline(&mut self, id: PipelineId, node: &Node, root: &Node, path: &str) -> PipelinePlan {
        let config: PipelineConfig = self.decode(Some(node).filter(|node| !node.is_null()), path);
        if config.receivers.is_empty() {
            self.report(path, "must have at least one receiver");
        }
        if config.exporters.is_empty() {
            self.report(path, "must have at least one exporter");
        }
        PipelinePlan {
            receivers: self.references(&config.receivers, Kind::Receiver, root, path),
            processors: self.references(&config.processors, Kind::Processor, root, path),
            exporters: self.references(&config.exporters, Kind::Exporter, root, path),
            id,
        }
    }

    /// The ids of one list of a pipeline. Receivers and exporters that stand twice count once; processors may not.
    fn references(&mut self, names: &[IdText], kind: Kind, root: &Node, path: &str) -> Vec<ComponentId> {
        let mut ids: Vec<ComponentId> = Vec::new();
        for IdText(name) in names {
            let Some(id) = self.reference(name, kind, root, path) else { continue };
            if !ids.contains(&id) {
                ids.push(id);
            } else if kind == Kind::Processor {
                let message = format!("references processor {name:?} multiple times");
                self.report(path, message);
            }
        }
        ids
    }

    fn reference(&mut self, name: &str, kind: Kind, root: &Node, path: &str) -> Option<ComponentId> {
        let id = match ComponentId::parse(name) {
            Ok(id) => id,
            Err(error) => {
                self.report(path, error.to_string());
                return None;
            }
        };
        let section = root.get(kind.section()).and_then(Node::as_map);
        let known = |(key, _): &(confmap::Key, Node)| ComponentId::parse(&key.name).as_ref() == Ok(&id);
        if section.is_some_and(|map| map.iter().any(known)) {
            return Some(id);
        }
        // A connector stands in pipelines as a receiver or exporter. That its type is not known is reported at its block.
        let connectors = root.get("connectors").and_then(Node::as_map);
        if kind != Kind::Processor && connectors.is_some_and(|map| map.iter().any(known)) {
            return None;
        }
        let message = format!("references {kind} {:?} which is not configured", id.to_string());
        let help = format!("add `{id}:` below `{}:`", kind.section());
        self.problems.at(path, |problems| problems.report_with_help(message, help));
        None
    }

    fn decode<T: serde::de::DeserializeOwned + Default>(&mut self, node: Option<&Node>, path: &str) -> T {
        confmap::decode(node, path).unwrap_or_else(|problems| {
            self.problems.merge(problems);
            T::default()
        })
    }
}

/// A factory's `decode`, whatever the kind of the factory.
struct Decoder<'r>(Box<DecodeFn<'r>>);

type DecodeFn<'r> = dyn Fn(Option<&Node>, &str) -> Result<AnyConfig, Problems> + 'r;

impl<'r> Decoder<'r> {
    fn new(decode: impl Fn(Option<&Node>, &str) -> Result<AnyConfig, Problems> + 'r) -> Self {
        Self(Box::new(decode))
    }

    fn decode(&self, node: Option<&Node>, path: &str) -> Result<AnyConfig, Problems> {
        (self.0)(node, path)
    }
}

fn names<'r>(metas: impl Iterator<Item = &'r Meta>) -> Vec<&'static str> {
    metas.map(|meta| meta.kind).collect()
}

impl PipelinePlan {
    /// What flows through it.
    pub fn signal(&self) -> Signal {
        self.id.signal()
    }
}
