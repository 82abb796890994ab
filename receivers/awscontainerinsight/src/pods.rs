//! Records of pods and containers: what the kubelet says of them, joined with what the kernel counts for them.

mod figures;
mod list;
mod pending;
mod records;
mod resources;
mod snapshots;
mod source;
mod status;

#[cfg(test)]
mod bad_input_tests;
#[cfg(test)]
pub(crate) mod fault_tests;
#[cfg(test)]
pub(crate) mod golden_tests;
#[cfg(test)]
pub(crate) mod test_machine;

pub(crate) use list::{KubeletPods, PodList, PodSource};
pub(crate) use pending::write_pending;
pub(crate) use records::Options;
pub(crate) use resources::Totals;
pub(crate) use source::PodsSource;
