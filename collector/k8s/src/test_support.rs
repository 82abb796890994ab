//! The fake API server without a network between, so that paused clocks do not run ahead of it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use testkit::FakeApiServer;

use crate::ApiServer;

pub(crate) const PODS: &str = "/api/v1/pods";

/// A client of `server`.
pub(crate) fn api(server: &Arc<FakeApiServer>) -> ApiServer {
    let server = Arc::clone(server);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let server = Arc::clone(&server);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, kube::Error>(server.handle(http::Request::from_parts(parts, body)).await)
        }
    });
    ApiServer::from_client(kube::Client::new(service, "default"))
}

/// A pod on `node` whose label `app` is `app`.
pub(crate) fn pod(name: &str, node: &str, app: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": app}},
        "spec": {"nodeName": node},
        "status": {"phase": "Running"},
    })
}

/// Waits, for an hour of the paused clock at most, until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..36_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what} does not come");
}
