//! What is known of pods and containers as records. No reading happens here.

use k8s::row::{Container, ContainerKind, Pod};
use k8s::{Description, Names, Naming};
use node::Machine;

use super::figures::{ContainerFigures, Files, GroupFigures, PodFigures};
use super::list::Listed;
use super::resources::{Share, running_containers};
use super::status;
use crate::collector::Moment;
use crate::figures::{
    PER_SECOND, counters, millicores, sum, traffic, write_cpu, write_memory, write_network,
};
use crate::host::HostSource;
use crate::identity::Identity;
use crate::rate::Scan;
use crate::record::{Record, RecordType, Records, field, percent};

/// What the user wants of pods' records.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    pub(crate) naming: Naming,
    /// The key `add_full_pod_name_metric_label`.
    pub(crate) full_pod_name: bool,
    /// The key `add_container_name_metric_label`.
    pub(crate) container_name: bool,
    /// Whether to add what upstream only has in its enhanced mode.
    pub(crate) enhanced: bool,
    /// The key `enable_container_filesystem_metrics`.
    pub(crate) files: bool,
}

/// What the records of a collection share.
pub(super) struct Context<'a> {
    pub(super) at: Moment,
    pub(super) machine: Machine,
    pub(super) identity: &'a Identity,
    pub(super) host: &'a HostSource,
    /// The service that this pod is behind.
    pub(super) service: Option<&'a str>,
    /// The list before the one that the pod is from.
    pub(super) before: Option<&'a Listed>,
}

/// Makes records, and keeps the counters that rates need.
#[derive(Debug)]
pub(super) struct PodRecords {
    options: Options,
    /// By the path of the group.
    groups: Scan<Box<str>, 6>,
    /// By the path of the pod's group and the interface's name.
    interfaces: Scan<Box<str>, 8>,
    network: Vec<[Option<f64>; 8]>,
    key: String,
    /// The attribute `kubernetes` of the pod, and of the record being written.
    common: Vec<u8>,
    kubernetes: Vec<u8>,
}

impl PodRecords {
    /// Nothing is known yet: the first records have no rates.
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            groups: Scan::default(),
            interfaces: Scan::default(),
            network: Vec::new(),
            key: String::new(),
            common: Vec::new(),
            kubernetes: Vec::new(),
        }
    }

    /// Adds the records of a pod and its containers.
    pub(super) fn write(
        &mut self,
        pod: &Pod,
        figures: &PodFigures,
        context: &Context<'_>,
        records: &mut Records,
    ) {
        let names = self.options.naming.of(pod);
        self.common.clear();
        let description = Description {
            host: context.identity.node_name(),
            pod: Some(pod),
            pod_name: Some(&pod.meta.name),
            owners: &names.owners,
            service: context.service,
        };
        description.write(&mut self.common);
        self.advance_interfaces(figures, context);
        self.write_pod(pod, &names, figures, context, records);
        self.write_interfaces(pod, &names, figures, context, records);
        for (index, container) in pod.containers.iter().enumerate() {
            let figures = figures.containers.iter().find(|figures| figures.index == index);
            // Of init and ephemeral containers only those that run have a record.
            if figures.is_some() || container.kind == ContainerKind::Regular {
                self.write_container(pod, container, &names, figures, context, records);
            }
        }
    }

    /// Ends a collection: the counters of what is gone are forgotten.
    pub(super) fn end(&mut self) {
        self.groups.end();
        self.interfaces.end();
    }

    fn begin<'r>(
        &self,
        kind: RecordType,
        pod: &Pod,
        names: &Names<'_>,
        context: &Context<'_>,
        records: &'r mut Records,
    ) -> Record<'r> {
        let mut record = records.record(kind, context.at.unix_nano);
        let kubernetes = if self.kubernetes.is_empty() { &self.common } else { &self.kubernetes };
        context.identity.describe_with(std::str::from_utf8(kubernetes).ok(), &mut record);
        record.attribute("Namespace", &pod.meta.namespace);
        record.attribute("PodName", names.pod_name);
        if self.options.full_pod_name {
            record.attribute("FullPodName", &pod.meta.name);
        }
        if let Some(service) = context.service {
            record.attribute("Service", service);
        }
        record
    }

    fn advance(&mut self, group: &GroupFigures, context: &Context<'_>) -> [Option<f64>; 6] {
        if group.path.is_empty() {
            return [None; 6];
        }
        let values = counters(group.cpu, group.memory.as_ref());
        self.groups.advance(&*group.path, |path| path.into(), context.at.monotonic, values)
    }

    fn write_pod(
        &mut self,
        pod: &Pod,
        names: &Names<'_>,
        figures: &PodFigures,
        context: &Context<'_>,
        records: &mut Records,
    ) {
        self.kubernetes.clear();
        let (enhanced, machine) = (self.options.enhanced, context.machine);
        let rates = self.advance(&figures.group, context);
        let mut record = self.begin(RecordType::Pod, pod, names, context, records);
        record.attribute("pod_status", pod.phase.as_str());
        if let Some(reason) = status::terminated_reason(pod).filter(|_| enhanced) {
            record.attribute("container_status_reason", reason);
        }
        if figures.group.cpu.is_some()
            && let Some(used) = write_cpu(&mut record, rates, machine)
        {
            let Share { request, limit } = Share::cpu(pod, machine);
            record.int(field::CPU_REQUEST, request);
            record.int(field::CPU_LIMIT, limit);
            record.double(field::CPU_RESERVED_CAPACITY, share(request, millicores(machine)));
            record.double(field::CPU_OVER_POD_LIMIT, percent(Some(used), limit));
        }
        if let Some(memory) = &figures.group.memory
            && let Some(used) = write_memory(&mut record, memory, rates, machine, enhanced)
        {
            let Share { request, limit } = Share::memory(pod, machine);
            record.int(field::MEMORY_REQUEST, request);
            record.int(field::MEMORY_LIMIT, limit);
            record.double(field::MEMORY_RESERVED_CAPACITY, share(request, machine.memory));
            record.double(field::MEMORY_OVER_POD_LIMIT, share(Some(used), limit));
        }
        write_network(&mut record, &sum(&self.network));
        let containers = status::containers(pod).count() as u64;
        record.int(field::NUMBER_OF_CONTAINERS, Some(containers));
        record.int(field::NUMBER_OF_RUNNING_CONTAINERS, Some(running_containers(pod)));
        let restarts = context
            .before
            .map(|before| before.get(&pod.meta.uid).map_or(0, status::restarts))
            .map(|before| status::restarts(pod).saturating_sub(before));
        record.int(field::NUMBER_OF_CONTAINER_RESTARTS, restarts);
        if enhanced {
            status::write(&mut record, pod);
        }
    }

    fn advance_interfaces(&mut self, figures: &PodFigures, context: &Context<'_>) {
        self.network.clear();
        for interface in &figures.interfaces {
            self.key.clear();
            self.key.push_str(&figures.group.path);
            // No path of a group ends with a slash, no name of an interface has one.
            self.key.push('/');
            self.key.push_str(&interface.name);
            let at = context.at.monotonic;
            let rates = self.interfaces.advance(self.key.as_str(), |key| key.into(), at, traffic(interface));
            self.network.push(rates.map(|rate| rate.map(|rate| rate * PER_SECOND)));
        }
    }

    /// An interface without rates, as all are at first, makes no record: it would have no metric.
    fn write_interfaces(
        &mut self,
        pod: &Pod,
        names: &Names<'_>,
        figures: &PodFigures,
        context: &Context<'_>,
        records: &mut Records,
    ) {
        self.kubernetes.clear();
        for (interface, rates) in figures.interfaces.iter().zip(&self.network) {
            if rates.iter().all(Option::is_none) {
                continue;
            }
            let mut record = self.begin(RecordType::PodNet, pod, names, context, records);
            record.attribute("interface", &interface.name);
            write_network(&mut record, rates);
        }
    }

    fn write_container(
        &mut self,
        pod: &Pod,
        container: &Container,
        names: &Names<'_>,
        figures: Option<&ContainerFigures>,
        context: &Context<'_>,
        records: &mut Records,
    ) {
        self.kubernetes.clear();
        Description::write_container(&mut self.kubernetes, container, &self.common);
        let group = figures.map(|figures| &figures.group);
        let rates = group.map_or([None; 6], |group| self.advance(group, context));
        let is_regular = container.kind == ContainerKind::Regular;
        // What has ended takes nothing any more.
        let spec = pod.specs.iter().find(|spec| {
            is_regular
                && !pod.has_ended()
                && spec.kind == ContainerKind::Regular
                && spec.name == container.name
        });
        let restarts = context.before.filter(|_| is_regular).map(|before| {
            let before = before.get(&pod.meta.uid).and_then(|pod| same(pod, container));
            u64::from(container.restarts.saturating_sub(before.map_or(0, |before| before.restarts)))
        });
        let memory = group.and_then(|group| group.memory.as_ref());
        let has_rates = rates.iter().any(Option::is_some);
        let has_spec = spec.is_some_and(|spec| {
            [spec.cpu_request, spec.cpu_limit, spec.memory_request, spec.memory_limit] != [None; 4]
        });
        // A record without a metric would be lost on the way.
        if memory.is_some() || has_rates || has_spec || restarts.is_some() {
            let mut record = self.begin(RecordType::Container, pod, names, context, records);
            if self.options.container_name {
                record.attribute("ContainerName", &container.name);
            }
            if is_regular {
                describe_status(&mut record, container);
            }
            let machine = context.machine;
            let used = write_cpu(&mut record, rates, machine);
            let enhanced = self.options.enhanced;
            let bytes = memory.and_then(|memory| write_memory(&mut record, memory, rates, machine, enhanced));
            if let Some(spec) = spec {
                record.int(field::CPU_REQUEST, spec.cpu_request);
                record.int(field::CPU_LIMIT, spec.cpu_limit);
                record.int(field::MEMORY_REQUEST, spec.memory_request);
                record.int(field::MEMORY_LIMIT, spec.memory_limit);
                if enhanced {
                    record.double(field::CPU_OVER_CONTAINER_LIMIT, percent(used, spec.cpu_limit));
                    record.double(field::MEMORY_OVER_CONTAINER_LIMIT, share(bytes, spec.memory_limit));
                }
            }
            // Upstream gives it neither the prefix of the others nor a unit.
            record.int_as(field::NUMBER_OF_CONTAINER_RESTARTS.name, restarts);
        }
        if let Some(files) = figures.and_then(|figures| figures.files) {
            self.write_files(pod, container, names, files, context, records);
        }
    }

    fn write_files(
        &self,
        pod: &Pod,
        container: &Container,
        names: &Names<'_>,
        Files { usage, device }: Files,
        context: &Context<'_>,
        records: &mut Records,
    ) {
        let mut record = self.begin(RecordType::ContainerFs, pod, names, context, records);
        if self.options.container_name {
            record.attribute("ContainerName", &container.name);
        }
        if let Some(device) = device.and_then(|device| context.host.device(device)) {
            context.identity.describe_device(&mut record, device);
        }
        record.attribute("fstype", "vfs");
        record.int(field::FILESYSTEM_USAGE, Some(usage.used_bytes));
        record.int(field::FILESYSTEM_CAPACITY, Some(usage.capacity));
        record.int(field::FILESYSTEM_AVAILABLE, Some(usage.available));
        let utilization = share(Some(usage.used_bytes), Some(usage.capacity));
        record.double(field::FILESYSTEM_UTILIZATION, utilization);
    }
}

fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    percent(part.map(|part| part as f64), whole)
}

fn same<'a>(pod: &'a Pod, container: &Container) -> Option<&'a Container> {
    status::containers(pod).find(|other| other.name == container.name)
}

fn describe_status(record: &mut Record<'_>, container: &Container) {
    record.attribute("container_status", status::text(container.state));
    if let Some(reason) = status::reason(container) {
        record.attribute("container_status_reason", reason);
    }
    if let Some(reason) = status::last_termination_reason(container) {
        record.attribute("container_last_termination_reason", reason);
    }
}
