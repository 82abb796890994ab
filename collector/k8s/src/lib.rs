//! Kubernetes: who this node is, what runs where, and who leads; asked of the API server and the kubelet.
//!
//! - [`ApiServer::node`]: the Node object knows what instance metadata would tell (`spec.providerID` and well-known
//!   labels), so that a pod needs neither a hop limit of 2 nor an IAM permission.
//! - [`Watches`]: objects of the API server as small rows ([`row`]) in a [`Store`] that is kept up to date. Objects are
//!   decoded one by one as they arrive, only what a [`Projection`] names is kept, and what rows have in common is
//!   stored once.
//! - [`wire`]: what both answer, decoded as it arrives.
//! - [`Kubelet`]: the pods of one node, asked of the node itself.
//! - [`Naming`], [`Description`]: what Container Insights calls a pod, and says of it.
//! - [`NodeServices`]: which services are in front of the pods of a node.
//! - [`Election`]: which of several collectors does what only one may do.
//!
//! ```no_run
//! use k8s::row::{Pod, ReplicaSet};
//! use k8s::{Change, Keys, Projection, Scope, Watches};
//!
//! # async fn example(host: component::Host) -> Result<(), k8s::Error> {
//! // One set per process: whoever asks for what is watched already gets the same store.
//! let watches = Watches::in_cluster(&host)?;
//!
//! // The pods of one node, with one label and their owners.
//! let projection = Projection { labels: Keys::named(["app"]), owners: true, ..Projection::default() };
//! let pods = watches.watch::<Pod>(&Scope::all().fields("spec.nodeName=node-1"), &projection);
//! let sets = watches.watch::<ReplicaSet>(&Scope::all(), &Projection { owners: true, ..Projection::default() });
//!
//! // Lookups never wait for the network; before the first list they find nothing.
//! pods.synced().await;
//! if let Some(pod) = pods.get("default", "web-7b9f4c8d5e-x2x4z") {
//!     let owner = pod.meta.controller("ReplicaSet");
//!     let set = owner.and_then(|owner| sets.get_by_uid(&owner.uid));
//!     let deployment = set.as_deref().and_then(|set| set.meta.controller("Deployment"));
//!     println!("{:?} of {deployment:?}", pod.meta.label("app"));
//! }
//!
//! // An index of one's own, here by address, is kept by following the changes.
//! let mut by_ip = std::collections::HashMap::new();
//! let mut changes = pods.subscribe();
//! loop {
//!     let news = changes.next().await;
//!     if news.resync {
//!         by_ip.clear();
//!         pods.for_each(|pod| drop(pod.ip().map(|ip| by_ip.insert(ip, pod.clone()))));
//!     }
//!     for change in news.list {
//!         match change {
//!             Change::Applied(pod) => drop(pod.ip().map(|ip| by_ip.insert(ip, pod))),
//!             Change::Deleted(pod) => drop(pod.ip().map(|ip| by_ip.remove(&ip))),
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! A watch ends when the last [`Watched`] and [`Subscription`] of it is dropped.

mod changes;
mod client;
mod connection;
mod description;
mod election;
mod environment;
mod error;
mod intern;
mod kubelet;
mod naming;
mod node;
mod projection;
mod random;
pub mod row;
mod services;
mod split;
mod store;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod test_support;
mod watch;
pub mod wire;

pub use changes::{Change, Changes};
pub use client::{ApiServer, ApiStream};
pub use connection::{ApiServerConfig, Credentials, ExecCluster, ExecConfig};
pub use description::Description;
pub use election::{Election, ElectionConfig, Leadership, Lock};
pub use environment::is_in_cluster;
pub use error::Error;
pub use intern::{Interner, Name, Pairs};
pub use kubelet::{KnownPods, Kubelet, KubeletConfig, stats};
pub use naming::{Names, Naming};
pub use node::NodeIdentity;
pub use projection::{Keys, Matcher, Projection};
pub use services::{NodeServices, Services};
pub use store::{Store, WatchStats};
pub use watch::{Scope, Subscription, Watched, Watches};
