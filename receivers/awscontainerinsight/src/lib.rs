//! The `awscontainerinsightreceiver`: Container Insights records of this machine.
//!
//! One collection is one payload; in it every record is a resource with gauges of one point each. A record has a type
//! (`Node`, `NodeFS`, …), attributes, and fields, whose names, units and formulas are upstream's.
//!
//! | | |
//! |---|---|
//! | `config` | what users write |
//! | `surroundings` | orchestrator, node name, cluster name: what the environment says at the start |
//! | `instance` | which EC2 instance this is: asked in the background, used when the answer comes |
//! | `ec2` | what EC2 says of it: tags and volumes |
//! | `ecs` | what ECS says of it: container instance, tasks, what they reserve |
//! | `identity` | the attributes that all records share |
//! | `host` | the machine's own figures and their records |
//! | `pods` | what the kubelet and the kernel say of pods and containers, and their records |
//! | `cluster` | what records need of the API server: the services of pods, the state of this node |
//! | `leader` | records of the cluster as a whole |
//! | `api` | how the API server and the kubelet are reached |
//! | `control_plane` | the API server's own metrics |
//! | `figures` | the fields that records of machines, pods and containers share |
//! | `record`, `rate` | how a record is written; what a counter's rate is |
//! | `collector` | one collection: asks every source, hands the payload on |
//! | `receiver` | start and shutdown |

mod api;
mod cluster;
mod collector;
mod config;
mod control_plane;
mod ec2;
mod ecs;
mod figures;
mod health;
mod host;
mod identity;
mod instance;
mod leader;
mod pods;
mod rate;
mod receiver;
mod record;
mod surroundings;

#[cfg(test)]
mod parity_tests;
#[cfg(test)]
mod receiver_tests;

use std::sync::Arc;

use component::{Meta, ReceiverFactory, Stability};
use pdata::Signal;

pub use config::{CollectionRole, Config, Keys};

/// The factory of the `awscontainerinsightreceiver`, also known as `awscontainerinsight`.
pub fn factory() -> ReceiverFactory {
    let meta = Meta {
        kind: "awscontainerinsightreceiver",
        aliases: &["awscontainerinsight"],
        deprecated_aliases: &[],
        signals: &[(Signal::Metrics, Stability::Beta)],
    };
    ReceiverFactory::new(meta, |settings, config: Arc<Config>, outputs| {
        let output = outputs.metrics.ok_or("the receiver makes metrics only")?;
        let machine = receiver::Machine::discover(&config);
        Ok(Arc::new(receiver::Receiver::new(settings, config, output, machine)))
    })
}
