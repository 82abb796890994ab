//! What is told of the cluster's nodes.

use k8s::row::{Condition, ConditionStatus, Node};

use crate::collector::Moment;
use crate::identity::Identity;
use crate::record::{Field, RecordType, Records, field};

/// Conditions of a node that must not hold; what is not said of them counts as well.
const FAILURES: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];

/// The labels of a node of SageMaker HyperPod, and what the beginning of the name and of the instance's type are.
pub(super) const HYPERPOD_HEALTH: &str = "sagemaker.amazonaws.com/node-health-status";
pub(super) const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
const HYPERPOD_NAME: &str = "hyperpod-";
const HYPERPOD_TYPE: &str = "ml.";

/// What [`HYPERPOD_HEALTH`] may say, and the field that is 1 then.
const HEALTH: [(&str, Field); 4] = [
    ("Schedulable", field::HEALTH_SCHEDULABLE),
    ("Unschedulable", field::HEALTH_UNSCHEDULABLE),
    ("UnschedulablePendingReplacement", field::HEALTH_PENDING_REPLACEMENT),
    ("UnschedulablePendingReboot", field::HEALTH_PENDING_REBOOT),
];

/// Adds the record of a node of SageMaker HyperPod.
pub(super) fn write_hyperpod(node: &Node, at: Moment, identity: &Identity, records: &mut Records) {
    let is_hyperpod = node.meta.label(INSTANCE_TYPE).is_some_and(|kind| kind.starts_with(HYPERPOD_TYPE));
    let Some(health) = node.meta.label(HYPERPOD_HEALTH).filter(|_| is_hyperpod) else { return };
    let mut record = records.record(RecordType::HyperPodNode, at.unix_nano);
    identity.describe_cluster_alone(&mut record);
    record.attribute("NodeName", &node.meta.name);
    let instance = node.meta.name.strip_prefix(HYPERPOD_NAME).unwrap_or(&node.meta.name);
    record.attribute("InstanceId", instance);
    for (status, field) in HEALTH {
        record.int(field, Some(u64::from(&**health == status)));
    }
}

/// Whether a node has one of the conditions that are failures. As upstream has it, being ready is not looked at.
pub(super) fn has_failed(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| FAILURES.contains(&&*condition.kind) && condition.status != ConditionStatus::False)
}
