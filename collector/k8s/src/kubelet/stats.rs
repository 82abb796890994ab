//! What the kubelet measures, as far as it is used (`stats/v1alpha1`). What it does not measure is absent.

use serde::Deserialize;

/// `/stats/summary`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The node as a whole.
    pub node: NodeStats,
    /// Its pods.
    pub pods: Vec<PodStats>,
}

/// The node as a whole.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NodeStats {
    /// Its name.
    pub node_name: String,
    /// Processors.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Its own network.
    pub network: Option<NetworkStats>,
    /// The kubelet's file system.
    pub fs: Option<FsStats>,
}

/// A pod.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStats {
    /// Which pod.
    pub pod_ref: PodReference,
    /// Processors.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Its network; absent if it uses the node's.
    pub network: Option<NetworkStats>,
    /// What it writes outside of volumes.
    #[serde(rename = "ephemeral-storage")]
    pub ephemeral_storage: Option<FsStats>,
    /// Its containers.
    pub containers: Vec<ContainerStats>,
    /// Its volumes.
    pub volume: Vec<VolumeStats>,
}

/// Which pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerStats {
    /// Its name.
    pub name: String,
    /// When it was started, as RFC 3339.
    pub start_time: Option<String>,
    /// Processors.
    pub cpu: Option<CpuStats>,
    /// Memory.
    pub memory: Option<MemoryStats>,
    /// Its writable layer.
    pub rootfs: Option<FsStats>,
    /// Its logs.
    pub logs: Option<FsStats>,
}

/// Processors.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CpuStats {
    /// When this was measured, as RFC 3339.
    pub time: String,
    /// Billionths of a core in use.
    pub usage_nano_cores: Option<u64>,
    /// Nanoseconds used so far.
    pub usage_core_nano_seconds: Option<u64>,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemoryStats {
    /// When this was measured, as RFC 3339.
    pub time: String,
    /// Bytes until the limit.
    pub available_bytes: Option<u64>,
    /// Bytes in use, caches included.
    pub usage_bytes: Option<u64>,
    /// Bytes in use that cannot be taken back at once.
    pub working_set_bytes: Option<u64>,
    /// Bytes of anonymous memory.
    pub rss_bytes: Option<u64>,
    /// Minor page faults so far.
    pub page_faults: Option<u64>,
    /// Major page faults so far.
    pub major_page_faults: Option<u64>,
}

/// A network, its default interface first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkStats {
    /// When this was measured, as RFC 3339.
    pub time: String,
    /// The default interface.
    #[serde(flatten)]
    pub default: InterfaceStats,
    /// All interfaces.
    pub interfaces: Vec<InterfaceStats>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct InterfaceStats {
    /// Its name.
    pub name: String,
    /// Bytes received so far.
    pub rx_bytes: Option<u64>,
    /// Errors of receiving so far.
    pub rx_errors: Option<u64>,
    /// Bytes sent so far.
    pub tx_bytes: Option<u64>,
    /// Errors of sending so far.
    pub tx_errors: Option<u64>,
}

/// A file system or a part of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FsStats {
    /// When this was measured, as RFC 3339.
    pub time: String,
    /// Bytes left.
    pub available_bytes: Option<u64>,
    /// Bytes it holds.
    pub capacity_bytes: Option<u64>,
    /// Bytes in use.
    pub used_bytes: Option<u64>,
    /// Inodes left.
    pub inodes_free: Option<u64>,
    /// Inodes it has.
    pub inodes: Option<u64>,
    /// Inodes in use.
    pub inodes_used: Option<u64>,
}

/// A volume of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeStats {
    /// Its name in the pod.
    pub name: String,
    /// The claim that it comes from.
    #[serde(rename = "pvcRef")]
    pub claim: Option<ClaimReference>,
    /// Its file system.
    #[serde(flatten)]
    pub fs: FsStats,
}

/// A persistent volume claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary() {
        let summary: Summary = serde_json::from_str(
            r#"{"node":{"nodeName":"n1","systemContainers":[{"name":"kubelet"}],"startTime":"2026-11-23T14:00:00Z",
            "cpu":{"time":"2026-11-23T18:00:00Z","usageNanoCores":153042,"usageCoreNanoSeconds":8423},
            "fs":{"time":"t","availableBytes":7,"capacityBytes":9,"usedBytes":2,"inodes":3}},
            "pods":[{"podRef":{"name":"p","namespace":"ns","uid":"u"},"startTime":"t","network":{"time":"t",
            "name":"eth0","rxBytes":11,"interfaces":[{"name":"eth0","rxBytes":11}]},"containers":[{"name":"c",
            "memory":{"time":"t","workingSetBytes":4096}}],"volume":[{"time":"t","name":"data","usedBytes":5,
            "pvcRef":{"name":"claim","namespace":"ns"}}],"ephemeral-storage":{"time":"t","usedBytes":6}}]}"#,
        )
        .unwrap();
        assert_eq!(summary.node.cpu.as_ref().and_then(|cpu| cpu.usage_nano_cores), Some(153_042));
        let [pod] = summary.pods.as_slice() else { panic!("{summary:?}") };
        let network = pod.network.as_ref().unwrap();
        assert_eq!((network.default.name.as_str(), network.interfaces.len()), ("eth0", 1));
        assert_eq!(pod.volume[0].fs.used_bytes, Some(5));
        assert_eq!(pod.volume[0].claim.as_ref().unwrap().name, "claim");
        assert_eq!(pod.ephemeral_storage.as_ref().and_then(|fs| fs.used_bytes), Some(6));
        assert_eq!(pod.containers[0].memory.as_ref().and_then(|m| m.working_set_bytes), Some(4096));
    }
}
