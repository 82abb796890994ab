//! Whether this is a pod.

use std::ffi::OsString;
use std::path::Path;

/// Set in every pod that Kubernetes links to its API server.
const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";

/// Mounted into every pod that does not opt out of it.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Whether the collector runs in a pod: the API server's address is in the environment, or a service account's token
/// is mounted. Reads no file.
#[must_use]
pub fn is_in_cluster() -> bool {
    is_in_cluster_with(|name| std::env::var_os(name), Path::new(SERVICE_ACCOUNT_TOKEN))
}

fn is_in_cluster_with(environment: impl Fn(&str) -> Option<OsString>, token: &Path) -> bool {
    environment(SERVICE_HOST).is_some_and(|host| !host.is_empty()) || token.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_sign_is_enough() {
        fn check(host: Option<&str>, token: &str, expected: bool) {
            let environment = |name: &str| host.filter(|_| name == SERVICE_HOST).map(OsString::from);
            assert_eq!(is_in_cluster_with(environment, Path::new(token)), expected, "{host:?} {token}");
        }
        check(None, "/does/not/exist", false);
        check(Some(""), "/does/not/exist", false);
        check(Some("10.100.0.1"), "/does/not/exist", true);
        check(None, env!("CARGO_MANIFEST_DIR"), true);
    }
}
