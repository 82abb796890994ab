//! What one record is, and how it is written: a resource with its attributes, and a gauge with one point per field.

use pdata::metrics::Number;
use pdata::{Batch, MetricsBuilder, ResourceMetricsBuilder};

/// The value of the attribute `Version`. The EMF exporter replaces it in its version 1.
pub(crate) const VERSION: &str = "0";

/// What a record is about: the attribute `Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordType {
    Node,
    NodeFs,
    NodeDiskIo,
    NodeNet,
    Instance,
    InstanceFs,
    InstanceDiskIo,
    InstanceNet,
    Pod,
    /// A pod without a node, told by the leader: its type is `Pod` as well.
    PendingPod,
    PodNet,
    Container,
    ContainerFs,
    Cluster,
    ClusterNamespace,
    ClusterService,
    Deployment,
    DaemonSet,
    StatefulSet,
    ReplicaSet,
    ControlPlane,
    HyperPodNode,
}

/// A metric's name behind its type's prefix, and its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
}

/// Declares fields by unit.
macro_rules! fields {
    ($($unit:literal: $($constant:ident = $name:literal),+;)+) => {
        $($(pub(crate) const $constant: Field = Field { name: $name, unit: $unit };)+)+
    };
}

/// All fields that records may have. CPU times are in millicores and have no unit.
pub(crate) mod field {
    use super::Field;

    fields! {
        "": CPU_USAGE_TOTAL = "cpu_usage_total", CPU_USAGE_USER = "cpu_usage_user",
            CPU_USAGE_SYSTEM = "cpu_usage_system", CPU_LIMIT = "cpu_limit",
            CPU_REQUEST = "cpu_request";
        "Percent": CPU_UTILIZATION = "cpu_utilization", MEMORY_UTILIZATION = "memory_utilization",
            FILESYSTEM_UTILIZATION = "filesystem_utilization",
            CPU_RESERVED_CAPACITY = "cpu_reserved_capacity", MEMORY_RESERVED_CAPACITY = "memory_reserved_capacity",
            CPU_OVER_POD_LIMIT = "cpu_utilization_over_pod_limit",
            MEMORY_OVER_POD_LIMIT = "memory_utilization_over_pod_limit",
            CPU_OVER_CONTAINER_LIMIT = "cpu_utilization_over_container_limit",
            MEMORY_OVER_CONTAINER_LIMIT = "memory_utilization_over_container_limit";
        "Bytes": MEMORY_USAGE = "memory_usage", MEMORY_CACHE = "memory_cache", MEMORY_RSS = "memory_rss",
            MEMORY_MAX_USAGE = "memory_max_usage", MEMORY_SWAP = "memory_swap",
            MEMORY_MAPPED_FILE = "memory_mapped_file", MEMORY_WORKING_SET = "memory_working_set",
            MEMORY_LIMIT = "memory_limit", MEMORY_REQUEST = "memory_request", FILESYSTEM_USAGE = "filesystem_usage",
            FILESYSTEM_CAPACITY = "filesystem_capacity", FILESYSTEM_AVAILABLE = "filesystem_available";
        "Count": MEMORY_FAILCNT = "memory_failcnt", FILESYSTEM_INODES = "filesystem_inodes",
            FILESYSTEM_INODES_FREE = "filesystem_inodes_free",
            NUMBER_OF_RUNNING_PODS = "number_of_running_pods",
            NUMBER_OF_RUNNING_TASKS = "number_of_running_tasks",
            NUMBER_OF_RUNNING_CONTAINERS = "number_of_running_containers",
            NUMBER_OF_CONTAINERS = "number_of_containers",
            NUMBER_OF_CONTAINER_RESTARTS = "number_of_container_restarts",
            STATUS_PENDING = "status_pending", STATUS_RUNNING = "status_running",
            STATUS_SUCCEEDED = "status_succeeded", STATUS_FAILED = "status_failed",
            STATUS_READY = "status_ready", STATUS_SCHEDULED = "status_scheduled",
            STATUS_UNKNOWN = "status_unknown",
            CONTAINERS_RUNNING = "container_status_running", CONTAINERS_WAITING = "container_status_waiting",
            CONTAINERS_TERMINATED = "container_status_terminated",
            WAITING_CRASH_LOOP = "container_status_waiting_reason_crash_loop_back_off",
            WAITING_IMAGE = "container_status_waiting_reason_image_pull_error",
            WAITING_START = "container_status_waiting_reason_start_error",
            WAITING_CREATE = "container_status_waiting_reason_create_container_error",
            WAITING_CONFIG = "container_status_waiting_reason_create_container_config_error",
            TERMINATED_OOM = "container_status_terminated_reason_oom_killed",
            STATUS_CAPACITY_PODS = "status_capacity_pods", STATUS_ALLOCATABLE_PODS = "status_allocatable_pods",
            CONDITION_READY = "status_condition_ready",
            CONDITION_DISK_PRESSURE = "status_condition_disk_pressure",
            CONDITION_MEMORY_PRESSURE = "status_condition_memory_pressure",
            CONDITION_PID_PRESSURE = "status_condition_pid_pressure",
            CONDITION_NETWORK_UNAVAILABLE = "status_condition_network_unavailable",
            CONDITION_UNKNOWN = "status_condition_unknown",
            NODE_COUNT = "node_count", FAILED_NODE_COUNT = "failed_node_count",
            REPLICAS_DESIRED = "replicas_desired", REPLICAS_READY = "replicas_ready",
            REPLICAS_AVAILABLE = "status_replicas_available",
            REPLICAS_UNAVAILABLE = "status_replicas_unavailable",
            HEALTH_SCHEDULABLE = "schedulable", HEALTH_UNSCHEDULABLE = "unschedulable",
            HEALTH_PENDING_REPLACEMENT = "unschedulable_pending_replacement",
            HEALTH_PENDING_REBOOT = "unschedulable_pending_reboot";
        "Count/Second": MEMORY_PGFAULT = "memory_pgfault", MEMORY_PGMAJFAULT = "memory_pgmajfault",
            MEMORY_HIERARCHICAL_PGFAULT = "memory_hierarchical_pgfault",
            MEMORY_HIERARCHICAL_PGMAJFAULT = "memory_hierarchical_pgmajfault",
            MEMORY_FAILURES_TOTAL = "memory_failures_total",
            DISKIO_SERVICED_ASYNC = "diskio_io_serviced_async", DISKIO_SERVICED_READ = "diskio_io_serviced_read",
            DISKIO_SERVICED_SYNC = "diskio_io_serviced_sync", DISKIO_SERVICED_WRITE = "diskio_io_serviced_write",
            DISKIO_SERVICED_TOTAL = "diskio_io_serviced_total",
            NETWORK_RX_PACKETS = "network_rx_packets", NETWORK_RX_DROPPED = "network_rx_dropped",
            NETWORK_RX_ERRORS = "network_rx_errors", NETWORK_TX_PACKETS = "network_tx_packets",
            NETWORK_TX_DROPPED = "network_tx_dropped", NETWORK_TX_ERRORS = "network_tx_errors";
        "Bytes/Second": DISKIO_BYTES_ASYNC = "diskio_io_service_bytes_async",
            DISKIO_BYTES_READ = "diskio_io_service_bytes_read", DISKIO_BYTES_SYNC = "diskio_io_service_bytes_sync",
            DISKIO_BYTES_WRITE = "diskio_io_service_bytes_write",
            DISKIO_BYTES_TOTAL = "diskio_io_service_bytes_total",
            NETWORK_RX_BYTES = "network_rx_bytes", NETWORK_TX_BYTES = "network_tx_bytes",
            NETWORK_TOTAL_BYTES = "network_total_bytes";
    }
}

/// The records of one collection. The buffers outlive it.
#[derive(Debug, Default)]
pub(crate) struct Records {
    builder: MetricsBuilder,
    name: String,
    count: usize,
    /// The bytes of the last collection: the next is about as large.
    bytes: usize,
}

/// A record being written: attributes first, then fields.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    resource: ResourceMetricsBuilder<'a>,
    name: &'a mut String,
    prefix: &'static str,
    time_unix_nano: u64,
}

impl RecordType {
    /// The attribute's value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::NodeFs => "NodeFS",
            Self::NodeDiskIo => "NodeDiskIO",
            Self::NodeNet => "NodeNet",
            Self::Instance => "Instance",
            Self::InstanceFs => "InstanceFS",
            Self::InstanceDiskIo => "InstanceDiskIO",
            Self::InstanceNet => "InstanceNet",
            Self::Pod | Self::PendingPod => "Pod",
            Self::PodNet => "PodNet",
            Self::Container => "Container",
            Self::ContainerFs => "ContainerFS",
            Self::Cluster => "Cluster",
            Self::ClusterNamespace => "ClusterNamespace",
            Self::ClusterService => "ClusterService",
            Self::Deployment => "ClusterDeployment",
            Self::DaemonSet => "ClusterDaemonSet",
            Self::StatefulSet => "ClusterStatefulSet",
            Self::ReplicaSet => "ClusterReplicaSet",
            Self::ControlPlane => "ControlPlane",
            Self::HyperPodNode => "HyperPodNode",
        }
    }

    /// The beginning of its metrics' names.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Node | Self::NodeFs | Self::NodeDiskIo => "node_",
            Self::NodeNet => "node_interface_",
            Self::Instance | Self::InstanceFs | Self::InstanceDiskIo => "instance_",
            Self::InstanceNet => "instance_interface_",
            Self::Pod | Self::PendingPod => "pod_",
            Self::PodNet => "pod_interface_",
            Self::Container | Self::ContainerFs => "container_",
            Self::Cluster => "cluster_",
            Self::HyperPodNode => "hyperpod_node_health_status_",
            Self::ClusterNamespace => "namespace_",
            Self::ClusterService => "service_",
            Self::Deployment
            | Self::DaemonSet
            | Self::StatefulSet
            | Self::ReplicaSet
            | Self::ControlPlane => "",
        }
    }

    /// The attribute `Sources`: JSON in a string; empty for none.
    pub(crate) fn sources(self) -> &'static str {
        match self {
            Self::Node => r#"["cadvisor","/proc","pod","calculated"]"#,
            Self::Instance => r#"["cadvisor","/proc","ecsagent","calculated"]"#,
            Self::NodeFs
            | Self::NodeNet
            | Self::InstanceFs
            | Self::InstanceNet
            | Self::PodNet
            | Self::ContainerFs => r#"["cadvisor","calculated"]"#,
            Self::Pod | Self::Container => r#"["cadvisor","pod","calculated"]"#,
            Self::PendingPod
            | Self::Cluster
            | Self::ClusterNamespace
            | Self::ClusterService
            | Self::Deployment
            | Self::DaemonSet
            | Self::StatefulSet
            | Self::ReplicaSet
            | Self::ControlPlane => r#"["apiserver"]"#,
            Self::NodeDiskIo | Self::InstanceDiskIo => r#"["cadvisor"]"#,
            Self::HyperPodNode => "",
        }
    }
}

impl Records {
    /// Begins a record whose fields were read at a Unix time in nanoseconds.
    pub(crate) fn record(&mut self, kind: RecordType, time_unix_nano: u64) -> Record<'_> {
        self.make_room();
        self.count += 1;
        let mut resource = self.builder.resource();
        resource.attribute("Type", kind.as_str());
        resource.attribute("Version", VERSION);
        if !kind.sources().is_empty() {
            resource.attribute("Sources", kind.sources());
        }
        Record { resource, name: &mut self.name, prefix: kind.prefix(), time_unix_nano }
    }

    /// Begins a resource of metrics that somebody else named.
    pub(crate) fn resource(&mut self) -> ResourceMetricsBuilder<'_> {
        self.make_room();
        self.count += 1;
        self.builder.resource()
    }

    /// Not before the first record: memory is not held from one collection to the next.
    fn make_room(&mut self) {
        if self.count == 0 {
            self.builder = MetricsBuilder::with_capacity(self.bytes + self.bytes / 16);
        }
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The records so far as one payload; the next begin a new one.
    pub(crate) fn take(&mut self) -> Batch {
        self.count = 0;
        self.bytes = self.builder.len();
        std::mem::take(&mut self.builder).finish()
    }
}

impl Record<'_> {
    /// Adds an attribute. Not after a field.
    pub(crate) fn attribute(&mut self, key: &str, value: &str) {
        self.resource.attribute(key, value);
    }

    /// Adds an integer. Counts beyond an `i64`, which no kernel reaches, are cut off there.
    pub(crate) fn int(&mut self, field: Field, value: Option<u64>) {
        if let Some(value) = value {
            self.field(field, Number::Int(i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// Adds a double.
    pub(crate) fn double(&mut self, field: Field, value: Option<f64>) {
        if let Some(value) = value {
            self.field(field, Number::Double(value));
        }
    }

    /// Adds an integer under a name of its own, without its type's prefix and without a unit.
    pub(crate) fn int_as(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            let value = Number::Int(i64::try_from(value).unwrap_or(i64::MAX));
            self.resource.gauge(name, "", self.time_unix_nano, value);
        }
    }

    fn field(&mut self, field: Field, value: Number) {
        self.name.clear();
        self.name.push_str(self.prefix);
        self.name.push_str(field.name);
        self.resource.gauge(self.name, field.unit, self.time_unix_nano, value);
    }
}

/// `part` of `whole` in percent; none of nothing.
pub(crate) fn percent(part: Option<f64>, whole: Option<u64>) -> Option<f64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    Some(part? / whole as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages() {
        fn check(part: Option<f64>, whole: Option<u64>, expected: Option<f64>) {
            assert_eq!(percent(part, whole), expected, "{part:?} of {whole:?}");
        }
        check(Some(1.0), Some(4), Some(25.0));
        check(Some(0.0), Some(4), Some(0.0));
        check(Some(9.0), Some(4), Some(225.0));
        check(Some(1.0), Some(0), None);
        check(Some(1.0), None, None);
        check(None, Some(4), None);
    }

    #[test]
    fn a_payload_is_taken_once() {
        let mut records = Records::default();
        records.record(RecordType::Node, 5).int(field::CPU_LIMIT, Some(u64::MAX));
        assert_eq!((records.len(), records.take().items()), (1, 1));
        assert_eq!((records.len(), records.take().items()), (0, 0));
    }
}
