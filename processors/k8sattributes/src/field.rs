//! The attributes that `extract::metadata` can name.

use pdata::TextKey;

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// An attribute.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field {
            $($variant,)*
        }

        impl Field {
            /// All of them.
            const ALL: &'static [(Field, &'static str)] = &[$((Field::$variant, $name),)*];

            /// Its name.
            pub(crate) const fn name(self) -> &'static str {
                self.key().name()
            }

            /// Its name, as resources' are compared with it.
            #[inline]
            pub(crate) const fn key(self) -> &'static TextKey<'static> {
                match self {
                    $(Self::$variant => const { &TextKey::new($name) },)*
                }
            }
        }
    };
}

fields! {
    NamespaceName = "k8s.namespace.name",
    PodName = "k8s.pod.name",
    PodUid = "k8s.pod.uid",
    PodHostname = "k8s.pod.hostname",
    PodIp = "k8s.pod.ip",
    StartTime = "k8s.pod.start_time",
    ReplicaSetName = "k8s.replicaset.name",
    ReplicaSetUid = "k8s.replicaset.uid",
    DeploymentName = "k8s.deployment.name",
    DeploymentUid = "k8s.deployment.uid",
    StatefulSetName = "k8s.statefulset.name",
    StatefulSetUid = "k8s.statefulset.uid",
    DaemonSetName = "k8s.daemonset.name",
    DaemonSetUid = "k8s.daemonset.uid",
    JobName = "k8s.job.name",
    JobUid = "k8s.job.uid",
    CronJobName = "k8s.cronjob.name",
    CronJobUid = "k8s.cronjob.uid",
    NodeName = "k8s.node.name",
    NodeUid = "k8s.node.uid",
    ClusterUid = "k8s.cluster.uid",
    ContainerName = "k8s.container.name",
    ContainerId = "container.id",
    ImageName = "container.image.name",
    ImageTag = "container.image.tag",
    ImageTags = "container.image.tags",
    RepoDigests = "container.image.repo_digests",
    ServiceNamespace = "service.namespace",
    ServiceName = "service.name",
    ServiceVersion = "service.version",
    ServiceInstanceId = "service.instance.id",
}

/// A set of attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fields(u32);

impl Field {
    /// The attribute of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(field, _)| *field)
    }

    /// The names that [`parse`](Self::parse) knows.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().map(|(_, name)| *name)
    }
}

impl Fields {
    pub(crate) fn insert(&mut self, field: Field) {
        self.0 |= 1 << field as u32;
    }

    pub(crate) fn remove(&mut self, field: Field) {
        self.0 &= !(1 << field as u32);
    }

    pub(crate) fn has(self, field: Field) -> bool {
        self.0 >> field as u32 & 1 == 1
    }

    /// What is in this set, and not in the other.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether one of `fields` is in the set.
    pub(crate) fn any(self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.has(*field))
    }

    /// Whether nothing but `fields` is in the set.
    pub(crate) fn only(self, fields: &[Field]) -> bool {
        let mut others = self;
        fields.iter().for_each(|field| others.0 &= !(1 << *field as u32));
        others.0 == 0
    }
}
