//! What a configuration means: which attributes of which objects, and what has to be watched for them.

use std::time::Duration;

use confmap::Problems;
use k8s::{Keys, Projection, Scope};
use pdata::Names;
use regex::Regex;

use crate::association::Associations;
use crate::fetch::Kind;
use crate::field::{Field, Fields};
use crate::filter::Filter;
use crate::gating::Gating;
use crate::needs::{Needs, Watch};
use crate::rule::{Rule, Source, Subject};
use crate::{Config, ExtractConfig};

/// The pods that are ignored unless others are named.
const DEFAULT_EXCLUDED: [&str; 2] = ["jaeger-agent", "jaeger-collector"];

/// The annotation of a pod that nothing is to be added of.
pub(crate) const IGNORE_ANNOTATION: &str = "opentelemetry.io/k8s-processor/ignore";

/// The annotation of a static pod: its uid as its node and its log files spell it.
pub(crate) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// The label of pods that their ReplicaSet's name ends in.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// The labels that `service.name` is taken from, the later wins.
pub(crate) const SERVICE_NAME_LABELS: [&str; 2] = ["app.kubernetes.io/name", "app.kubernetes.io/instance"];

/// The label that `service.version` is taken from.
pub(crate) const SERVICE_VERSION_LABEL: &str = "app.kubernetes.io/version";

/// The namespace whose uid stands for the cluster's.
pub(crate) const CLUSTER_NAMESPACE: &str = "kube-system";

/// The attributes of ReplicaSets, Deployments and all else that makes pods.
const OWNERS: [Field; 13] = [
    Field::ReplicaSetName,
    Field::ReplicaSetUid,
    Field::DeploymentName,
    Field::DeploymentUid,
    Field::StatefulSetName,
    Field::StatefulSetUid,
    Field::DaemonSetName,
    Field::DaemonSetUid,
    Field::JobName,
    Field::JobUid,
    Field::CronJobName,
    Field::CronJobUid,
    Field::ServiceName,
];

/// The attributes that are read from containers' images.
pub(crate) const IMAGES: [Field; 5] =
    [Field::ImageName, Field::ImageTag, Field::ImageTags, Field::ServiceVersion, Field::ServiceInstanceId];

/// The attributes that containers' states tell.
const STATES: [Field; 3] = [Field::ContainerName, Field::ContainerId, Field::RepoDigests];

/// Which run of a container a resource is about.
const RESTART_COUNT: &str = "k8s.container.restart_count";

/// A kind of workload whose labels and annotations can be attributes.
pub(crate) const WORKLOADS: [(Subject, Field); 4] = [
    (Subject::Deployment, Field::DeploymentUid),
    (Subject::StatefulSet, Field::StatefulSetUid),
    (Subject::DaemonSet, Field::DaemonSetUid),
    (Subject::Job, Field::JobUid),
];

/// A configuration, ready to be used.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) fields: Fields,
    pub(crate) rules: Vec<Rule>,
    /// Whether a Deployment's name is told from its ReplicaSet's alone, which is then not looked for.
    pub(crate) heuristic: bool,
    pub(crate) excluded: Vec<Regex>,
    pub(crate) filter: Filter,
    pub(crate) associations: Associations,
    /// The attributes of a resource whose values are asked for.
    pub(crate) wanted: Names,
    pub(crate) places: Places,
    /// Whether other objects than pods add anything.
    pub(crate) adds_objects: bool,
    pub(crate) passthrough: bool,
    pub(crate) gating: Gating,
    pub(crate) grace: Duration,
}

/// Where attributes that are looked up stand among those that are read.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) container_name: Option<usize>,
    pub(crate) container_id: Option<usize>,
    pub(crate) restart_count: Option<usize>,
    pub(crate) namespace: Option<usize>,
    pub(crate) node: Option<usize>,
    /// Of the [`WORKLOADS`].
    pub(crate) workloads: [Option<usize>; 4],
}

impl Compiled {
    /// Checks a configuration, and makes of it what can be made; `environment` tells variables.
    pub(crate) fn of(
        config: &Config,
        environment: impl Fn(&str) -> Option<String>,
        gating: Gating,
        problems: &mut Problems,
    ) -> Self {
        let extract = &config.extract;
        let (fields, rules) = problems.at("extract", |problems| {
            let mut fields = problems.at("metadata", |problems| fields(&extract.metadata, problems));
            if gating.v1 && extract.metadata == ExtractConfig::default().metadata {
                fields.insert(Field::ImageTags);
            }
            if !gating.v0 {
                fields.remove(Field::ImageTag);
            }
            let mut rules = Vec::new();
            for (key, configs, source) in [
                ("labels", &extract.labels, Source::Labels),
                ("annotations", &extract.annotations, Source::Annotations),
            ] {
                problems.at(key, |problems| {
                    for (index, config) in configs.iter().enumerate() {
                        rules.extend(
                            problems.index(index, |problems| Rule::compile(config, source, gating, problems)),
                        );
                    }
                });
            }
            rules.extend(extract.otel_annotations.then(Rule::otel_annotations).flatten());
            (fields, rules)
        });
        let mut wanted = Names::default();
        let associations = problems.at("pod_association", |problems| {
            Associations::compile(&config.pod_association, &mut wanted, problems)
        });
        let mut compiled = Self {
            fields,
            rules,
            heuristic: extract.deployment_name_from_replicaset,
            excluded: problems.at("exclude", |problems| excluded(config, problems)),
            filter: problems.at("filter", |problems| Filter::compile(&config.filter, environment, problems)),
            associations,
            places: Places::default(),
            wanted,
            adds_objects: false,
            passthrough: config.passthrough,
            gating,
            grace: *config.pod_delete_grace_period,
        };
        compiled.places = compiled.places();
        compiled.adds_objects = compiled.has_rules(Subject::Namespace)
            || compiled.fields.has(Field::ServiceNamespace)
            || compiled.uses_nodes()
            || WORKLOADS.iter().any(|(subject, _)| compiled.has_rules(*subject));
        compiled
    }

    /// Where the attributes stand that this configuration looks up.
    fn places(&mut self) -> Places {
        let containers = self.uses_containers();
        let runs = self.fields.any(&[Field::ContainerId, Field::RepoDigests]);
        let namespaces = self.has_rules(Subject::Namespace) || self.fields.has(Field::ServiceNamespace);
        let nodes = self.uses_nodes();
        let workloads = WORKLOADS.map(|(subject, field)| (self.has_rules(subject), field));
        let mut place = |used: bool, name: &str| used.then(|| self.wanted.place(name));
        Places {
            container_name: place(containers, Field::ContainerName.name()),
            container_id: place(containers, Field::ContainerId.name()),
            restart_count: place(runs, RESTART_COUNT),
            namespace: place(namespaces, Field::NamespaceName.name()),
            node: place(nodes, Field::NodeName.name()),
            workloads: workloads.map(|(used, field)| place(used, field.name())),
        }
    }

    /// The rules on an object of this kind, in order.
    pub(crate) fn rules(&self, subject: Subject) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.subject == subject)
    }

    pub(crate) fn has_rules(&self, subject: Subject) -> bool {
        self.rules(subject).next().is_some()
    }

    /// Whether nodes are looked up.
    pub(crate) fn uses_nodes(&self) -> bool {
        self.has_rules(Subject::Node) || self.fields.has(Field::NodeUid)
    }

    /// Whether anything is told of containers.
    pub(crate) fn uses_containers(&self) -> bool {
        self.fields.any(&IMAGES) || self.fields.any(&STATES)
    }

    /// What has to be watched: nothing that tells no attribute.
    pub(crate) fn needs(&self) -> Needs {
        if self.passthrough {
            return Needs::default();
        }
        let workload =
            |subject: Subject| self.has_rules(subject).then(|| (self.namespaced(), self.projection(subject)));
        let (fields, pods) = (self.fields, self.pods());
        let by_uid = fields.has(Field::DeploymentUid) || self.has_rules(Subject::Deployment);
        let by_name = fields.has(Field::DeploymentName) && !self.heuristic;
        let owned = Projection { owners: true, ..Projection::default() };
        let needs = Needs {
            namespaces: self.namespaces(),
            nodes: self
                .uses_nodes()
                .then(|| (Scope::all().fields(self.filter.node_fields()), self.projection(Subject::Node))),
            // They lead from pods to Deployments, and to nothing else.
            replica_sets: (pods.is_some() && (by_uid || by_name)).then(|| (self.namespaced(), owned.clone())),
            deployments: workload(Subject::Deployment),
            stateful_sets: workload(Subject::StatefulSet),
            daemon_sets: workload(Subject::DaemonSet),
            jobs: (self.has_rules(Subject::Job) || fields.has(Field::CronJobUid)).then(|| {
                let owners = fields.any(&[Field::CronJobUid, Field::CronJobName, Field::ServiceName]);
                (self.namespaced(), Projection { owners, ..self.projection(Subject::Job) })
            }),
            pods,
            fetched: Vec::new(),
        };
        // No collector of one node watches what is spread over the cluster.
        if self.filter.node.is_some() { needs.one_by_one() } else { needs }
    }

    /// Whether ReplicaSets, and whether Jobs, tell more of pods than pods do.
    pub(crate) fn owners_tell_more(&self) -> [bool; 2] {
        let needs = self.needs();
        let is_fetched = |kind: Kind| needs.fetched.iter().any(|(fetched, _)| *fetched == kind);
        [
            needs.replica_sets.is_some() || is_fetched(Kind::ReplicaSet),
            needs.jobs.is_some() || is_fetched(Kind::Job),
        ]
    }

    fn namespaced(&self) -> Scope {
        Scope::all().namespace(&self.filter.namespace)
    }

    fn namespaces(&self) -> Option<Watch> {
        if self.has_rules(Subject::Namespace) {
            return Some((Scope::all(), self.projection(Subject::Namespace)));
        }
        let one = Scope::all().fields(format!("metadata.name={CLUSTER_NAMESPACE}"));
        self.fields.has(Field::ClusterUid).then(|| (one, Projection::default()))
    }

    /// What rules use of an object.
    fn projection(&self, subject: Subject) -> Projection {
        let keys = |source: Source| {
            let rules = self.rules(subject).filter(|rule| rule.source == source);
            rules.fold(Keys::None, |keys, rule| keys.union(&rule.keys()))
        };
        Projection {
            labels: keys(Source::Labels),
            annotations: keys(Source::Annotations),
            ..Projection::default()
        }
    }

    fn pods(&self) -> Option<Watch> {
        if self.pods_add_nothing() {
            return None;
        }
        let fields = self.fields;
        let by_rules = self.projection(Subject::Pod);
        let mut labels: Vec<&str> = Vec::new();
        if fields.any(&[Field::DeploymentName, Field::ServiceName]) {
            labels.push(HASH_LABEL);
        }
        if fields.has(Field::ServiceName) {
            labels.extend(SERVICE_NAME_LABELS);
        }
        if fields.has(Field::ServiceVersion) {
            labels.push(SERVICE_VERSION_LABEL);
        }
        let workload_rules = WORKLOADS.iter().any(|(subject, _)| self.has_rules(*subject));
        let mut layouts = self.associations.layouts.iter();
        let projection = Projection {
            labels: by_rules.labels.union(&Keys::named(labels)),
            annotations: by_rules.annotations.union(&Keys::named([IGNORE_ANNOTATION, MIRROR_ANNOTATION])),
            owners: fields.any(&OWNERS) || workload_rules,
            containers: self.uses_containers() || layouts.any(|layout| layout.has(Field::ContainerId.name())),
            // Whether a pod has ended, so that its addresses may be another's.
            status: true,
        };
        let scope = self.namespaced().fields(&self.filter.fields).labels(&self.filter.labels);
        Some((scope, projection))
    }

    /// Whether every resource that could be associated with a pod says itself all that the pod could add.
    fn pods_add_nothing(&self) -> bool {
        let mut associations = self.associations.configured().peekable();
        if associations.peek().is_none() || self.has_rules(Subject::Pod) {
            return false;
        }
        let all = |field: Field| self.associations.configured().all(|(_, layout)| layout.has(field.name()));
        let mut told: Vec<Field> = [Field::NodeName, Field::NamespaceName, Field::PodName, Field::PodUid]
            .into_iter()
            .filter(|field| all(*field))
            .collect();
        if told.contains(&Field::NodeName) {
            told.push(Field::NodeUid);
        }
        if told.contains(&Field::NamespaceName) {
            told.push(Field::ServiceNamespace);
        }
        self.fields.only(&told)
            && (!self.uses_nodes() || told.contains(&Field::NodeName))
            && (!self.has_rules(Subject::Namespace) || told.contains(&Field::NamespaceName))
            && WORKLOADS.iter().all(|(subject, field)| !self.has_rules(*subject) || all(*field))
    }
}

fn fields(names: &[String], problems: &mut Problems) -> Fields {
    let mut fields = Fields::default();
    for (index, name) in names.iter().enumerate() {
        match Field::parse(name) {
            Some(field) => fields.insert(field),
            None => problems.index(index, |problems| {
                let message = format!("\"{name}\" is not a supported metadata field");
                match confmap::nearest(name, Field::names()) {
                    Some(help) => problems.report_with_help(message, help),
                    None => problems.report(message),
                }
            }),
        }
    }
    fields
}

fn excluded(config: &Config, problems: &mut Problems) -> Vec<Regex> {
    let pods = &config.exclude.pods;
    if pods.is_empty() {
        return DEFAULT_EXCLUDED.iter().filter_map(|name| Regex::new(name).ok()).collect();
    }
    let mut regexes = Vec::new();
    problems.at("pods", |problems| {
        for (index, pod) in pods.iter().enumerate() {
            match helper::go_regex(&pod.name) {
                Ok(regex) => regexes.push(regex),
                Err(error) => problems.index(index, |problems| {
                    problems.at("name", |problems| {
                        problems.report(format!("invalid regular expression: {error}"));
                    });
                }),
            }
        }
    });
    regexes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(yaml: &str) -> Needs {
        let config: Config = confmap::from_yaml(yaml).unwrap();
        let mut problems = Problems::default();
        let compiled = Compiled::of(&config, |_| Some("node-1".to_owned()), Gating::default(), &mut problems);
        assert_eq!(problems.len(), 0, "{problems}");
        compiled.needs()
    }

    #[test]
    fn only_what_tells_an_attribute_is_watched() {
        fn check(yaml: &str, expected: &str) {
            let needs = needs(yaml);
            let kinds = [
                ("pods", &needs.pods),
                ("namespaces", &needs.namespaces),
                ("nodes", &needs.nodes),
                ("replicasets", &needs.replica_sets),
                ("deployments", &needs.deployments),
                ("statefulsets", &needs.stateful_sets),
                ("daemonsets", &needs.daemon_sets),
                ("jobs", &needs.jobs),
            ];
            let watched: Vec<&str> =
                kinds.into_iter().filter(|(_, watch)| watch.is_some()).map(|(kind, _)| kind).collect();
            assert_eq!(watched.join(" "), expected, "{yaml}");
        }
        let by_node = "pod_association: [{sources: [{from: resource_attribute, name: k8s.node.name}]}]";
        check("{}", "pods");
        check("passthrough: true", "");
        check("extract: {metadata: []}", "pods");
        check(
            "extract: {metadata: [k8s.deployment.name], deployment_name_from_replicaset: false}",
            "pods replicasets",
        );
        check("extract: {metadata: [k8s.deployment.uid]}", "pods replicasets");
        check("extract: {metadata: [k8s.node.uid, k8s.cluster.uid]}", "pods namespaces nodes");
        check("extract: {metadata: [k8s.cronjob.name]}", "pods");
        check("extract: {metadata: [k8s.cronjob.uid]}", "pods jobs");
        check("extract: {labels: [{from: deployment, key: a}]}", "pods replicasets deployments");
        check(
            "extract: {labels: [{from: statefulset, key: a}, {from: job, key: a}]}",
            "pods statefulsets jobs",
        );
        check(
            "extract: {annotations: [{from: daemonset, key: a}, {from: namespace, key: a}]}",
            "pods namespaces daemonsets",
        );
        let node =
            "extract: {metadata: [k8s.node.name], labels: [{from: node, key_regex: (.*), tag_name: x.$$1}]}";
        check(&format!("{node}\n{by_node}"), "nodes");
        check(node, "pods nodes");
        check(&format!("extract: {{metadata: [k8s.node.name, k8s.pod.name]}}\n{by_node}"), "pods");
    }

    #[test]
    fn scopes_and_projections() {
        let filtered = needs("filter: {node_from_env_var: N, namespace: ns, labels: [{key: a, op: exists}]}");
        let (scope, projection) = filtered.pods.unwrap();
        let expected = Scope::all().namespace("ns").fields("spec.nodeName=node-1").labels("a");
        assert_eq!(scope, expected);
        assert_eq!(projection.labels, Keys::named([HASH_LABEL]));
        assert!(projection.owners && projection.containers);
        let nodes = needs("{filter: {node: n}, extract: {metadata: [k8s.node.uid]}}").nodes.unwrap();
        assert_eq!(nodes.0, Scope::all().fields("metadata.name=n"));
        let lean = needs("extract: {metadata: [k8s.pod.name]}").pods.unwrap().1;
        assert!(!lean.owners && !lean.containers && lean.labels == Keys::None);
        let by_container = needs(
            "{extract: {metadata: [k8s.pod.name]}, pod_association: [{sources: [{from: resource_attribute, name: container.id}]}]}",
        );
        assert!(by_container.pods.unwrap().1.containers, "ids are needed to find pods by");
    }
}
