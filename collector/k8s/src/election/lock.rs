//! The object that says who leads.

use http::Method;
use serde_json::{Map, Value, json};

use super::elector::Record;
use crate::client::Access;
use crate::{ApiServer, Error};

/// Where client-go keeps the record in objects that have no place for it.
const ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// The object that says who leads. All candidates must use the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// A `Lease` of `coordination.k8s.io/v1`.
    Lease {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// An annotation of a ConfigMap, as older agents use it.
    ConfigMap {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl Lock {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Lease { name, .. } | Self::ConfigMap { name, .. } => name,
        }
    }

    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Lease { namespace, .. } | Self::ConfigMap { namespace, .. } => namespace,
        }
    }

    /// The API version, the kind, the path of its collection and the resource as roles name it.
    fn kind(&self) -> (&'static str, &'static str, String, &'static str) {
        let namespace = self.namespace();
        match self {
            Self::Lease { .. } => (
                "coordination.k8s.io/v1",
                "Lease",
                format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"),
                "leases.coordination.k8s.io",
            ),
            Self::ConfigMap { .. } => {
                ("v1", "ConfigMap", format!("/api/v1/namespaces/{namespace}/configmaps"), "configmaps")
            }
        }
    }

    /// The object, if it exists.
    pub(super) async fn read(&self, api: &ApiServer) -> Result<Option<Value>, Error> {
        let (_, _, collection, resource) = self.kind();
        let path = format!("{collection}/{}", self.name());
        match api.exchange(Method::GET, &path, None, Access { verb: "get", resource }).await {
            Ok(object) => Ok(Some(object)),
            Err(Error::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a record into the object, which is as it was read, or into a new one. Returns the object as it is now.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else wrote it since.
    pub(super) async fn write(
        &self,
        api: &ApiServer,
        object: Option<Value>,
        record: &Record,
    ) -> Result<Value, Error> {
        let (version, kind, collection, resource) = self.kind();
        if let Some(mut object) = object {
            self.put(&mut object, record);
            let path = format!("{collection}/{}", self.name());
            let access = Access { verb: "update", resource };
            return api.exchange(Method::PUT, &path, Some(&object), access).await;
        }
        let mut object = json!({
            "apiVersion": version, "kind": kind,
            "metadata": {"name": self.name(), "namespace": self.namespace()},
        });
        self.put(&mut object, record);
        api.exchange(Method::POST, &collection, Some(&object), Access { verb: "create", resource }).await
    }

    /// The record in an object; one of nobody if there is none or it cannot be understood.
    pub(super) fn record(&self, object: &Value) -> Record {
        match self {
            Self::Lease { .. } => {
                let spec = |key: &str| object.pointer(&format!("/spec/{key}"));
                let text = |key: &str| spec(key).and_then(Value::as_str).map(str::to_owned);
                let number = |key: &str| spec(key).and_then(Value::as_i64).unwrap_or_default();
                Record {
                    holder_identity: text("holderIdentity").unwrap_or_default(),
                    lease_duration_seconds: number("leaseDurationSeconds"),
                    acquire_time: text("acquireTime"),
                    renew_time: text("renewTime"),
                    leader_transitions: number("leaseTransitions"),
                }
            }
            Self::ConfigMap { .. } => {
                let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
                let text = annotations.and_then(|all| all.get(ANNOTATION)).and_then(Value::as_str);
                text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
            }
        }
    }

    fn put(&self, object: &mut Value, record: &Record) {
        let mut map = take_map(object);
        match self {
            Self::Lease { .. } => {
                let mut spec = take_map(map.entry("spec").or_insert(Value::Null));
                // Nobody is told by absence: an empty text is refused.
                let holder = Some(record.holder_identity.as_str()).filter(|holder| !holder.is_empty());
                spec.insert("holderIdentity".into(), holder.into());
                spec.insert("leaseDurationSeconds".into(), record.lease_duration_seconds.into());
                spec.insert("acquireTime".into(), micro(record.acquire_time.as_deref()));
                spec.insert("renewTime".into(), micro(record.renew_time.as_deref()));
                spec.insert("leaseTransitions".into(), record.leader_transitions.into());
                map.insert("spec".into(), spec.into());
            }
            Self::ConfigMap { .. } => {
                let mut metadata = take_map(map.entry("metadata").or_insert(Value::Null));
                let mut annotations = take_map(metadata.entry("annotations").or_insert(Value::Null));
                // A record of texts and numbers always serializes.
                annotations
                    .insert(ANNOTATION.into(), serde_json::to_string(record).unwrap_or_default().into());
                metadata.insert("annotations".into(), annotations.into());
                map.insert("metadata".into(), metadata.into());
            }
        }
        *object = map.into();
    }

    /// Tells whoever lists events what happened to the lock.
    pub(super) async fn tell(
        &self,
        api: &ApiServer,
        object: Option<&Value>,
        message: &str,
        now: jiff::Timestamp,
    ) {
        let (version, kind, ..) = self.kind();
        let uid = object.and_then(|object| object.pointer("/metadata/uid")).cloned().unwrap_or_default();
        let second = jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": format!("{}.{:x}", self.name(), now.as_nanosecond()), "namespace": self.namespace()},
            "involvedObject": {"apiVersion": version, "kind": kind, "name": self.name(), "namespace": self.namespace(), "uid": uid},
            "reason": "LeaderElection", "message": message, "type": "Normal", "count": 1,
            "source": {"component": self.name()}, "firstTimestamp": second, "lastTimestamp": second,
        });
        let path = format!("/api/v1/namespaces/{}/events", self.namespace());
        let access = Access { verb: "create", resource: "events" };
        if let Err(error) = api.exchange(Method::POST, &path, Some(&event), access).await {
            tracing::debug!(%error, "cannot write an event");
        }
    }
}

/// A time as Leases have it: with six digits after the point.
fn micro(time: Option<&str>) -> Value {
    let parsed = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    parsed.map_or(Value::Null, |time| format!("{time:.6}").into())
}

/// The map that a value is; whatever else it was is given up.
fn take_map(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease() -> Lock {
        Lock::Lease { namespace: "ns".into(), name: "lock".into() }
    }

    fn config_map() -> Lock {
        Lock::ConfigMap { namespace: "ns".into(), name: "lock".into() }
    }

    fn record() -> Record {
        Record {
            holder_identity: "node-1".into(),
            lease_duration_seconds: 60,
            acquire_time: Some("2026-11-23T18:00:00Z".into()),
            renew_time: Some("2026-11-23T18:00:05Z".into()),
            leader_transitions: 2,
        }
    }

    #[test]
    fn a_config_map_keeps_what_else_it_holds() {
        let mut object =
            json!({"metadata": {"name": "lock", "annotations": {"mine": "x"}}, "data": {"k": "v"}});
        config_map().put(&mut object, &record());
        assert_eq!(object.pointer("/data/k"), Some(&json!("v")));
        assert_eq!(object["metadata"]["annotations"]["mine"], "x");
        assert_eq!(
            object["metadata"]["annotations"][ANNOTATION],
            r#"{"holderIdentity":"node-1","leaseDurationSeconds":60,"acquireTime":"2026-11-23T18:00:00Z","renewTime":"2026-11-23T18:00:05Z","leaderTransitions":2}"#
        );
        assert_eq!(config_map().record(&object), record());
    }

    #[test]
    fn a_lease_has_microseconds_and_no_empty_holder() {
        let mut object = json!({"metadata": {"name": "lock"}, "spec": {"strategy": "x"}});
        lease().put(&mut object, &record());
        let expected = json!({"strategy": "x", "holderIdentity": "node-1", "leaseDurationSeconds": 60,
            "acquireTime": "2026-11-23T18:00:00.000000Z", "renewTime": "2026-11-23T18:00:05.000000Z",
            "leaseTransitions": 2});
        assert_eq!(object["spec"], expected);
        lease().put(&mut object, &Record::default());
        assert_eq!(object["spec"]["holderIdentity"], Value::Null);
        assert_eq!(lease().record(&object), Record::default());
    }

    #[test]
    fn what_holds_no_record_is_nobodys() {
        for object in [
            json!({}),
            json!(null),
            json!({"metadata": {"annotations": null}, "spec": null}),
            json!({"metadata": {"annotations": {(ANNOTATION): "{"}}, "spec": {"holderIdentity": 7}}),
        ] {
            assert_eq!(lease().record(&object), Record::default(), "{object}");
            assert_eq!(config_map().record(&object), Record::default(), "{object}");
            let mut object = object;
            lease().put(&mut object, &record());
            config_map().put(&mut object, &record());
            assert_eq!(config_map().record(&object), record());
            assert_eq!(lease().record(&object).holder_identity, "node-1");
        }
    }
}
