//! The detectors.

pub(crate) mod beanstalk;
pub(crate) mod ec2;
pub(crate) mod ecs;
pub(crate) mod eks;
pub(crate) mod env;
pub(crate) mod k8s_api;
pub(crate) mod lambda;
pub(crate) mod system;
