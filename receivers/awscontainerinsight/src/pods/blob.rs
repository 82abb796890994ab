//! The attribute `kubernetes`: JSON in a string.

use k8s::row::{Container, Pod};

/// Writes what the attribute `kubernetes` says of a pod: JSON, with sorted keys as upstream has them.
pub(super) fn write_pod(
    out: &mut Vec<u8>,
    pod: &Pod,
    host: Option<&str>,
    pod_name: Option<&str>,
    owners: &[(&str, &str)],
    service: Option<&str>,
) {
    out.push(b'{');
    if let Some(host) = host {
        member(out, "host", host);
    }
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
    if let Some(name) = pod_name {
        member(out, "pod_name", name);
    }
    if !owners.is_empty() {
        key(out, "pod_owners");
        for (index, (kind, name)) in owners.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[{" } else { b",{" });
            member(out, "owner_kind", kind);
            member(out, "owner_name", name);
            out.push(b'}');
        }
        out.push(b']');
    }
    if let Some(service) = service {
        member(out, "service_name", service);
    }
    out.push(b'}');
}

/// Begins an object with what the attribute `kubernetes` says of a container, before what it says of its pod.
pub(super) fn begin_container(out: &mut Vec<u8>, container: &Container) {
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
            key(out, "container_id");
            string(out, &container.id.to_string());
            member(out, "container_name", &container.name);
        }
    }
    out.push(b',');
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
    use k8s::row::Row;
    use k8s::{Interner, Projection};

    use super::*;

    #[test]
    fn containers() {
        fn check(id: &str, expected: &str) {
            let pod =
                serde_json::json!({"status": {"containerStatuses": [{"name": "app", "containerID": id}]}});
            let (projection, interner) = (Projection::all(), Interner::default());
            let pod = Pod::from_json(pod.to_string().as_bytes(), &projection, &interner).unwrap().row;
            let mut out = Vec::new();
            begin_container(&mut out, &pod.containers[0]);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        check("", r#"{"container_name":"app","#);
        check("docker://1f", r#"{"container_name":"app","docker":{"container_id":"1f"},"#);
        check("cri-o://1f", r#"{"container_name":"app","cri-o":{"container_id":"1f"},"#);
        check("1f", r#"{"container_id":"1f","container_name":"app","#);
        check("x://a\"b", r#"{"container_name":"app","x":{"container_id":"a\"b"},"#);
    }
}
