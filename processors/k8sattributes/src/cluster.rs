//! The API server, and who already watches it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use component::Host;
use confmap::Secret;
use k8s::{ApiServer, ApiServerConfig, Watches};
use opentelemetry::metrics::Meter;

use crate::Config;
use crate::compile::Compiled;
use crate::view::View;

/// Why the processor cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server cannot be reached as configured.
    #[error("cannot make a client of the API server")]
    Client(#[source] k8s::Error),
    /// The kubeconfig is missing or broken.
    #[error("cannot use the kubeconfig")]
    Kubeconfig(#[source] k8s::Error),
    /// The environment does not say where the API server is.
    #[error(
        "unable to load k8s config, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined: run in a pod, or \
         set auth_type to kubeConfig"
    )]
    NoAddress,
    /// Feature gates leave no name for labels.
    #[error(
        "processor.k8sattributes.DontEmitV0K8sConventions is on without processor.k8sattributes.EmitV1K8sConventions: \
         enable both, or none"
    )]
    NoConventions,
    /// Not everything was known in time.
    #[error("wait_for_metadata: not known after {after:?}: {missing}")]
    NotSynced {
        /// How long was waited.
        after: std::time::Duration,
        /// Which kinds, and why as far as that is known.
        missing: String,
    },
}

/// What nobody holds any more is made anew.
type Shared<T> = Mutex<Option<HashMap<String, Weak<T>>>>;

/// The watches by how the API server is reached, and the views by configuration.
///
/// They belong to the process because nothing else is common to all pipelines: a component is made once per pipeline, and
/// the node role of the CloudWatch agent has sixteen of them, which upstream lets hold sixteen caches. What is shared is
/// read only but by its own tasks, and is dropped with its last user.
static CLUSTERS: Shared<Watches> = Mutex::new(None);
static VIEWS: Shared<View> = Mutex::new(None);

/// The view of a configuration: that of another processor of the same configuration, or a new one.
pub(crate) async fn view(
    config: &Config,
    compiled: &Arc<Compiled>,
    host: &Host,
    meter: &Meter,
) -> Result<Arc<View>, Error> {
    // What is known does not depend on whether anybody waits for it.
    let defaults = Config::default();
    let same = Config {
        wait_for_metadata: defaults.wait_for_metadata,
        wait_for_metadata_timeout: defaults.wait_for_metadata_timeout,
        ..config.clone()
    };
    let key = format!("{same:?} {:?}", compiled.gating);
    if let Some(view) = known(&mut lock(&VIEWS), &key) {
        return Ok(view);
    }
    let watches = watches(config, host).await?;
    let mut views = lock(&VIEWS);
    // Another one may have come first.
    if let Some(view) = known(&mut views, &key) {
        return Ok(view);
    }
    let view = View::start(Arc::clone(compiled), config, watches, host, meter);
    keep(&mut views, key, &view);
    Ok(view)
}

async fn watches(config: &Config, host: &Host) -> Result<Arc<Watches>, Error> {
    let key = match config.auth_type.as_str() {
        // Other components share these, too.
        "serviceAccount" => {
            address()?;
            return Watches::in_cluster(host).map(Arc::new).map_err(Error::Client);
        }
        kind => format!("{kind} {:?} {:?}", config.kube_config_path, config.context),
    };
    if let Some(watches) = known(&mut lock(&CLUSTERS), &key) {
        return Ok(watches);
    }
    let settings = if config.auth_type == "none" { anonymous()? } else { by_kubeconfig(config)? };
    let api = ApiServer::on_host(settings, host).map_err(Error::Client)?;
    let mut clusters = lock(&CLUSTERS);
    if let Some(watches) = known(&mut clusters, &key) {
        return Ok(watches);
    }
    let watches = Arc::new(Watches::new(api, host));
    keep(&mut clusters, key, &watches);
    Ok(watches)
}

fn by_kubeconfig(config: &Config) -> Result<ApiServerConfig, Error> {
    let path = Some(Path::new(&config.kube_config_path)).filter(|path| !path.as_os_str().is_empty());
    let mut settings =
        ApiServerConfig::from_kubeconfig(path, Some(&config.context)).map_err(Error::Kubeconfig)?;
    // As upstream: the API server is asked directly.
    settings.proxy_url = Secret::default();
    Ok(settings)
}

/// Without credentials, and without looking at the server's certificate.
fn anonymous() -> Result<ApiServerConfig, Error> {
    address()?;
    ApiServerConfig::anonymous().map_err(Error::Client)
}

/// Whether the environment says where the API server is.
fn address() -> Result<(), Error> {
    let is_set = |name: &str| std::env::var(name).is_ok_and(|value| !value.is_empty());
    let both = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"].into_iter().all(is_set);
    if both { Ok(()) } else { Err(Error::NoAddress) }
}

type Table<T> = Option<HashMap<String, Weak<T>>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, Table<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn known<T>(table: &mut Table<T>, key: &str) -> Option<Arc<T>> {
    table.as_ref()?.get(key).and_then(Weak::upgrade)
}

fn keep<T>(table: &mut Table<T>, key: String, value: &Arc<T>) {
    let table = table.get_or_insert_default();
    table.retain(|_, value| value.strong_count() > 0);
    table.insert(key, Arc::downgrade(value));
}
