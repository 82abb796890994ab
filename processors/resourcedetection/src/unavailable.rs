//! The detectors of upstream that this collector does not have.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A detector's block, which is read by nothing.
type Block = BTreeMap<String, Value>;

/// Declares the detectors: their names, and the fields for their blocks.
macro_rules! detectors {
    ($($name:ident)*) => {
        /// Their names, as `detectors` has them.
        pub(crate) const DETECTORS: &[&str] = &[$(stringify!($name)),*];

        /// Their blocks. Tools that print whole configurations, as the CloudWatch agent does, write the block of every detector.
        /// A block has no effect unless its detector is named, here as upstream, so that it is accepted; naming the detector
        /// is refused.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default)]
        pub struct UnavailableBlocks {
            $($name: Block,)*
        }
    };
}

detectors! {
    aks akamai alibaba_ecs azure consul digitalocean docker dynatrace gcp heroku hetzner ibmcloud_classic ibmcloud_vpc kubeadm
    nova openshift oraclecloud scaleway tencent_cvm upcloud vultr
}
