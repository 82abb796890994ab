//! Pods that wait for a node: the only ones of which no node's collector knows.

use k8s::row::{Phase, Pod};
use k8s::{Description, Naming};

use super::{Options, status};
use crate::collector::Moment;
use crate::identity::Identity;
use crate::record::{RecordType, Records};

/// Adds the record of a pod, if it waits for a node.
pub(crate) fn write_pending(
    pod: &Pod,
    options: Options,
    at: Moment,
    identity: &Identity,
    records: &mut Records,
) {
    if pod.node.is_some() || pod.phase != Phase::Pending {
        return;
    }
    // Upstream has this key decide here, not `prefer_full_pod_name`.
    let naming = Naming { prefer_full: options.full_pod_name, ..options.naming };
    let names = naming.of(pod);
    let name = options.full_pod_name.then_some(&*pod.meta.name);
    let mut kubernetes = Vec::new();
    let description = Description {
        host: identity.node_name(),
        pod: Some(pod),
        pod_name: name,
        owners: &names.owners,
        service: None,
    };
    description.write(&mut kubernetes);
    let mut record = records.record(RecordType::PendingPod, at.unix_nano);
    identity.describe_cluster_alone(&mut record);
    record.attribute("Namespace", &pod.meta.namespace);
    record.attribute("PodName", names.pod_name);
    if let Some(name) = name {
        record.attribute("FullPodName", name);
    }
    record.attribute("pod_status", pod.phase.as_str());
    record.attribute("k8s.node.name", "pending");
    record.attribute("kubernetes", &String::from_utf8_lossy(&kubernetes));
    status::write_phase(&mut record, pod);
}
