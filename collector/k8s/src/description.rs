//! What Container Insights says of a node, a pod or a container in the attribute `kubernetes`: JSON in a string, its keys
//! sorted.

use crate::row::{Container, Pod};

/// What is said. Of a node it is the host alone; what is absent is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Description<'a> {
    /// The key `host`: the node's name.
    pub host: Option<&'a str>,
    /// The pod, whose labels, namespace and uid are said.
    pub pod: Option<&'a Pod>,
    /// The key `pod_name`.
    pub pod_name: Option<&'a str>,
    /// The key `pod_owners`: kind and name of each, as [`Names`](crate::Names) has them.
    pub owners: &'a [(&'a str, &'a str)],
    /// The key `service_name`.
    pub service: Option<&'a str>,
}

impl Description<'_> {
    /// Writes a JSON object, in UTF-8.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        if let Some(host) = self.host {
            member(out, "host", host);
        }
        if let Some(pod) = self.pod {
            if !pod.meta.labels.is_empty() {
                key(out, "labels");
                out.push(b'{');
                for (name, value) in pod.meta.labels.iter() {
                    member(out, name, value);
                }
                out.push(b'}');
            }
            member(out, "namespace_name", &pod.meta.namespace);
            key(out, "pod_id");
            // A uid has no character that JSON escapes, but one of a broken object may.
            string(out, &pod.meta.uid.to_string());
        }
        if let Some(name) = self.pod_name {
            member(out, "pod_name", name);
        }
        if !self.owners.is_empty() {
            key(out, "pod_owners");
            for (index, (kind, name)) in self.owners.iter().enumerate() {
                out.extend_from_slice(if index == 0 { b"[{" } else { b",{" });
                member(out, "owner_kind", kind);
                member(out, "owner_name", name);
                out.push(b'}');
            }
            out.push(b']');
        }
        if let Some(service) = self.service {
            member(out, "service_name", service);
        }
        out.push(b'}');
    }

    /// Writes a container's JSON object: its name and id, then what `pod` says, which is [`Description::write`]'s object of
    /// its pod. It is written once for all containers of a pod.
    pub fn write_container(out: &mut Vec<u8>, container: &Container, pod: &[u8]) {
        out.push(b'{');
        match &container.runtime {
            _ if container.id.is_empty() => member(out, "container_name", &container.name),
            Some(runtime) => {
                member(out, "container_name", &container.name);
                key(out, runtime);
                out.push(b'{');
                member(out, "container_id", &container.id.to_string());
                out.push(b'}');
            }
            None => {
                member(out, "container_id", &container.id.to_string());
                member(out, "container_name", &container.name);
            }
        }
        match pod {
            [b'{', rest @ ..] if rest != b"}" => {
                out.push(b',');
                out.extend_from_slice(rest);
            }
            _ => out.push(b'}'),
        }
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &str) {
    key(out, name);
    string(out, value);
}

/// Writes a key, after a comma if another member is before it.
fn key(out: &mut Vec<u8>, name: &str) {
    if !out.ends_with(b"{") {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

fn string(out: &mut Vec<u8>, text: &str) {
    // Writing a text into memory cannot fail.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::row::Row;
    use crate::{Interner, Projection};

    fn pod(object: &Value) -> Pod {
        let json = object.to_string();
        Pod::from_json(json.as_bytes(), &Projection::all(), &Interner::default()).unwrap().row
    }

    fn written(description: &Description<'_>) -> String {
        let mut out = Vec::new();
        description.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pods() {
        let nothing = Description::default();
        assert_eq!(written(&nothing), "{}");
        assert_eq!(written(&Description { host: Some("a\"b"), ..nothing }), r#"{"host":"a\"b"}"#);
        let pod = pod(&json!({"metadata": {"name": "web-1", "namespace": "shop", "uid": "u\n1",
                                           "labels": {"b": "2", "a": "{"}}}));
        let whole = Description {
            host: Some("n1"),
            pod: Some(&pod),
            pod_name: Some("web-1"),
            owners: &[("Deployment", "web"), ("X", "y")],
            service: Some("front"),
        };
        assert_eq!(
            written(&whole),
            concat!(
                r#"{"host":"n1","labels":{"a":"{","b":"2"},"namespace_name":"shop","pod_id":"u\n1","pod_name":"web-1","#,
                r#""pod_owners":[{"owner_kind":"Deployment","owner_name":"web"},{"owner_kind":"X","owner_name":"y"}],"#,
                r#""service_name":"front"}"#
            )
        );
        // Sorted keys, as a map of sorted keys has them.
        let value: Value = serde_json::from_str(&written(&whole)).unwrap();
        assert_eq!(value.to_string(), written(&whole));
    }

    #[test]
    fn containers() {
        fn check(id: &str, pod_says: &str, expected: &str) {
            let pod = pod(&json!({"status": {"containerStatuses": [{"name": "app", "containerID": id}]}}));
            let mut out = Vec::new();
            Description::write_container(&mut out, &pod.containers[0], pod_says.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let host = r#"{"host":"h"}"#;
        check("", host, r#"{"container_name":"app","host":"h"}"#);
        check("docker://1f", host, r#"{"container_name":"app","docker":{"container_id":"1f"},"host":"h"}"#);
        check("cri-o://1f", "{}", r#"{"container_name":"app","cri-o":{"container_id":"1f"}}"#);
        check("1f", "", r#"{"container_id":"1f","container_name":"app"}"#);
        check("x://a\"b", "{}", r#"{"container_name":"app","x":{"container_id":"a\"b"}}"#);
    }
}
