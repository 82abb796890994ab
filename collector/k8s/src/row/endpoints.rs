//! Namespaces, services and what is behind them.

use serde::Deserialize;

use super::object::{BookmarkObject, Map, MetaObject, Text, nullable, optional};
use super::{Decoded, Meta, Resource, Row};
use crate::{Interner, Name, Pairs, Projection};

/// The label of an EndpointSlice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct Namespace {
    /// Its metadata.
    pub meta: Meta,
}

/// A service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Its metadata.
    pub meta: Meta,
    /// The labels of its pods; empty if it selects none by itself.
    pub selector: Pairs,
    /// `spec.type`
    pub kind: Option<Name>,
}

/// The ready pods behind a service, or some of them: a service may have several slices.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSlice {
    /// Its metadata.
    pub meta: Meta,
    /// The service: the label `kubernetes.io/service-name`, else the slice's name.
    pub service: Name,
    /// The pods that are ready; what does not say whether it is counts as ready.
    pub pods: Box<[PodRef]>,
}

/// The ready pods behind a service, as API servers without EndpointSlices tell them.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoints {
    /// Its metadata; it has the name of the service.
    pub meta: Meta,
    /// The pods that are ready.
    pub pods: Box<[PodRef]>,
}

/// A pod behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    spec: ServiceSpecObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceSpecObject<'a> {
    #[serde(borrow)]
    selector: Map<'a, Text<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointSliceObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    endpoints: Vec<EndpointObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct EndpointObject<'a> {
    #[serde(deserialize_with = "nullable")]
    conditions: EndpointConditionsObject,
    #[serde(borrow, deserialize_with = "nullable")]
    target_ref: TargetObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointConditionsObject {
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointsObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    metadata: MetaObject<'a>,
    #[serde(borrow, deserialize_with = "nullable")]
    subsets: Vec<SubsetObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SubsetObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    addresses: Vec<AddressObject<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AddressObject<'a> {
    #[serde(borrow, deserialize_with = "nullable")]
    target_ref: TargetObject<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TargetObject<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
}

impl TargetObject<'_> {
    fn pod(&self, interner: &Interner) -> Option<PodRef> {
        (self.kind.as_str() == "Pod").then(|| PodRef {
            namespace: interner.name(self.namespace.as_str()),
            name: interner.name(self.name.as_str()),
        })
    }
}

impl Row for Namespace {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", plural: "namespaces", namespaced: false, metadata_only: true };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: BookmarkObject<'_> = serde_json::from_slice(json)?;
        let metadata = object.metadata;
        let row = Self { meta: metadata.project(projection, interner) };
        Ok(Decoded { row, version: metadata.version() })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Row for Service {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", plural: "services", namespaced: true, metadata_only: false };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: ServiceObject<'_> = serde_json::from_slice(json)?;
        let row = Self {
            meta: object.metadata.project(projection, interner),
            selector: object.spec.selector.pairs(&crate::Keys::All, interner),
            kind: optional(&object.spec.kind, interner),
        };
        Ok(Decoded { row, version: object.metadata.version() })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Row for EndpointSlice {
    const RESOURCE: Resource = Resource {
        group: "discovery.k8s.io",
        version: "v1",
        plural: "endpointslices",
        namespaced: true,
        metadata_only: false,
    };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: EndpointSliceObject<'_> = serde_json::from_slice(json)?;
        let EndpointSliceObject { metadata, endpoints } = object;
        let service =
            metadata.labels.get(SERVICE_NAME).filter(|name| !name.is_empty()).unwrap_or(&metadata.name);
        let ready = endpoints.iter().filter(|endpoint| endpoint.conditions.ready != Some(false));
        let row = Self {
            service: interner.name(service.as_str()),
            pods: ready.filter_map(|endpoint| endpoint.target_ref.pod(interner)).collect(),
            meta: metadata.project(projection, interner),
        };
        Ok(Decoded { row, version: metadata.version() })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}

impl Row for Endpoints {
    const RESOURCE: Resource =
        Resource { group: "", version: "v1", plural: "endpoints", namespaced: true, metadata_only: false };

    fn from_json(
        json: &[u8],
        projection: &Projection,
        interner: &Interner,
    ) -> serde_json::Result<Decoded<Self>> {
        let object: EndpointsObject<'_> = serde_json::from_slice(json)?;
        let addresses = object.subsets.iter().flat_map(|subset| &subset.addresses);
        let row = Self {
            pods: addresses.filter_map(|address| address.target_ref.pod(interner)).collect(),
            meta: object.metadata.project(projection, interner),
        };
        Ok(Decoded { row, version: object.metadata.version() })
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
