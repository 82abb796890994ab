//! The fake API server without a network between, so that paused clocks do not run ahead of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use net::Boxed;
use serde_json::{Value, json};
use testkit::FakeApiServer;

use crate::connection::{Body, Transport};
use crate::{ApiServer, Error};

pub(crate) const PODS: &str = "/api/v1/pods";

/// Hands requests over.
struct Direct(Arc<FakeApiServer>);

impl Transport for Direct {
    fn send(&self, request: Request<Bytes>) -> Boxed<'_, Result<Response<Body>, Error>> {
        Box::pin(async {
            let response = self.0.handle(request).await;
            Ok(response.map(|body| body.map_err(component::BoxError::from).boxed_unsync()))
        })
    }
}

/// A client of `server`.
pub(crate) fn api(server: &Arc<FakeApiServer>) -> ApiServer {
    ApiServer::behind(Direct(Arc::clone(server)))
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
