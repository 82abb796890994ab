//! What a detector is.

use std::sync::Arc;

use async_trait::async_trait;
use pdata::Value;

use crate::config::DetectionConfig;
use crate::detectors::{beanstalk, ec2, ecs, eks, env, k8s_api, lambda, system};
use crate::error::Error;
use crate::sources::Sources;

/// The semantic conventions that the attributes follow, but for those that users name themselves.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.40.0";

/// Knows something of the place where the collector runs.
#[async_trait]
pub(crate) trait Detector: Send + Sync {
    /// Looks once, and notes what it finds at once: whatever it had found counts, if it fails later or does not come to an
    /// end in time. Nothing found means that this is another platform.
    async fn detect(&self, found: &mut Findings) -> Result<(), Error>;
}

/// Says which attributes of a detector are wanted.
pub(crate) trait Switches {
    /// Whether the attribute is added.
    fn is_on(&self, attribute: &str) -> bool;
}

/// What a detector found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The conventions that the attributes follow; empty if none.
    pub(crate) schema_url: &'static str,
    /// In no particular order; of a key that occurs twice the first counts.
    pub(crate) attributes: Vec<(String, Value)>,
    /// Why something is missing that was wanted.
    pub(crate) gap: Option<Error>,
}

/// The detectors that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Env,
    System,
    Ec2,
    Ecs,
    Eks,
    Lambda,
    ElasticBeanstalk,
    KubernetesApi,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Env,
        Self::System,
        Self::Ec2,
        Self::Ecs,
        Self::Eks,
        Self::Lambda,
        Self::ElasticBeanstalk,
        Self::KubernetesApi,
    ];

    /// The detector of a name as users write it.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.trim() {
            "k8snode" => Some(Self::KubernetesApi),
            name => Self::ALL.into_iter().find(|kind| kind.name() == name),
        }
    }

    /// All names, without aliases.
    pub(crate) fn names() -> [&'static str; 8] {
        Self::ALL.map(Self::name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::System => "system",
            Self::Ec2 => "ec2",
            Self::Ecs => "ecs",
            Self::Eks => "eks",
            Self::Lambda => "lambda",
            Self::ElasticBeanstalk => "elastic_beanstalk",
            Self::KubernetesApi => "k8s_api",
        }
    }

    /// The detector, which asks `sources`.
    pub(crate) fn detector(self, config: &DetectionConfig, sources: &Arc<dyn Sources>) -> Arc<dyn Detector> {
        let sources = Arc::clone(sources);
        match self {
            Self::Env => Arc::new(env::Env { sources }),
            Self::System => Arc::new(system::System { config: config.system.clone(), sources }),
            Self::Ec2 => Arc::new(ec2::Ec2::new(config.ec2.clone(), sources)),
            Self::Ecs => Arc::new(ecs::Ecs { config: config.ecs.clone(), sources }),
            Self::Eks => Arc::new(eks::Eks { config: config.eks.clone(), sources }),
            Self::Lambda => Arc::new(lambda::Lambda { config: config.lambda.clone(), sources }),
            Self::ElasticBeanstalk => {
                Arc::new(beanstalk::Beanstalk { config: config.elasticbeanstalk.clone(), sources })
            }
            Self::KubernetesApi => {
                Arc::new(k8s_api::KubernetesApi { config: config.kubernetes().clone(), sources })
            }
        }
    }
}

impl Findings {
    /// What comes next follows the semantic conventions.
    pub(crate) fn begin(&mut self) {
        self.schema_url = SCHEMA_URL;
    }

    /// Adds an attribute if it is wanted.
    pub(crate) fn set(&mut self, switches: &impl Switches, key: &str, value: impl Into<Value>) {
        if switches.is_on(key) {
            self.attributes.push((key.to_owned(), value.into()));
        }
    }

    /// Adds an attribute if it is wanted and says something.
    pub(crate) fn set_text(&mut self, switches: &impl Switches, key: &str, value: &str) {
        if !value.is_empty() {
            self.set(switches, key, value);
        }
    }

    /// Adds a list of texts if it is wanted and there are any.
    pub(crate) fn set_list(&mut self, switches: &impl Switches, key: &str, values: Vec<String>) {
        if !values.is_empty() && switches.is_on(key) {
            let values = values.into_iter().map(Value::String).collect();
            self.attributes.push((key.to_owned(), Value::Array(values)));
        }
    }
}
