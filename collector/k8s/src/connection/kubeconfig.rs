//! Kubeconfig files.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use confmap::{Node, NodeKind, Secret};
use http::Uri;

use super::config::{ApiServerConfig, Credentials};
use super::exec::{ExecCluster, ExecConfig, VERSIONS};
use crate::Error;

/// The longest file that is read, in bytes.
const LONGEST_FILE: u64 = 16 << 20;

/// Files that are read as one: what the first names stands.
struct Kubeconfig(Vec<Document>);

struct Document {
    /// Where it is: paths in it start from its folder.
    path: PathBuf,
    root: Node,
}

/// A named entry of a list.
struct Entry<'a> {
    document: &'a Document,
    /// `user "admin"`
    what: String,
    /// Null if the entry is empty.
    node: Option<&'a Node>,
}

impl ApiServerConfig {
    /// What a kubeconfig says of a context, or of its current one. Without a path the files of `KUBECONFIG` are read, else
    /// `.kube/config` in the home directory.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`]. No error repeats a secret.
    pub fn from_kubeconfig(path: Option<&Path>, context: Option<&str>) -> Result<Self, Error> {
        let paths = match path {
            Some(path) => vec![path.to_owned()],
            None => usual_paths(|name| std::env::var_os(name)),
        };
        Self::from_files(&paths, context)
    }

    pub(super) fn from_files(paths: &[PathBuf], context: Option<&str>) -> Result<Self, Error> {
        let mut documents = Vec::new();
        for path in paths {
            match read(path) {
                Ok(text) => documents.push(Document::parse(path, &text)?),
                // As kubectl does: of several files some may be missing.
                Err(_) if paths.len() > 1 && !path.exists() => {}
                Err(reason) => return Err(wrong(path, reason)),
            }
        }
        Kubeconfig(documents).choose(context)
    }

    /// The same of text that was read from `path`.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`].
    pub fn from_kubeconfig_text(text: &str, path: &Path, context: Option<&str>) -> Result<Self, Error> {
        Kubeconfig(vec![Document::parse(path, text)?]).choose(context)
    }
}

impl Document {
    fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let root = Node::from_yaml("kubeconfig", text)
            .map_err(|problem| wrong(path, format!("it is no YAML: {problem}")))?;
        Ok(Self { path: path.to_owned(), root })
    }

    /// A path that is written in this file.
    fn resolve(&self, path: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

impl Kubeconfig {
    fn choose(&self, context: Option<&str>) -> Result<ApiServerConfig, Error> {
        let first = self.0.first().map_or(Path::new("kubeconfig"), |document| &document.path);
        let current = || {
            let named = self.0.iter().filter_map(|document| document.root.get("current-context")?.as_str());
            named.into_iter().find(|name| !name.is_empty())
        };
        let Some(context) = context.filter(|name| !name.is_empty()).or_else(current) else {
            return Err(wrong(first, "it has no current-context, and no context is configured"));
        };
        let find = |list, kind, name: &str| {
            self.find(list, kind, name).ok_or_else(|| wrong(first, format!("{kind} {name:?} does not exist")))
        };
        let context = find("contexts", "context", context)?;
        let cluster = context.text("cluster")?.ok_or_else(|| context.wrong("names no cluster"))?;
        let cluster = find("clusters", "cluster", cluster)?;
        let user = context.text("user")?.map(|name| find("users", "user", name)).transpose()?;
        assemble(&cluster, user.as_ref())
    }

    fn find<'a>(&'a self, list: &str, kind: &str, name: &str) -> Option<Entry<'a>> {
        self.0.iter().find_map(|document| {
            let entries = document.root.get(list)?.as_seq()?;
            let entry =
                entries.iter().find(|entry| entry.get("name").and_then(Node::as_str) == Some(name))?;
            Some(Entry { document, what: format!("{kind} {name:?}"), node: entry.get(kind) })
        })
    }
}

fn assemble(cluster: &Entry<'_>, user: Option<&Entry<'_>>) -> Result<ApiServerConfig, Error> {
    let mut config = ApiServerConfig::new(cluster.server()?);
    config.proxy_url = cluster.text("proxy-url")?.map(Secret::new).unwrap_or_default();
    if !config.proxy_url.is_empty() {
        net::check_proxy_url(&config.proxy_url)
            .map_err(|reason| cluster.wrong(format!("has an unusable proxy-url: {reason}")))?;
    }
    config.tls.insecure_skip_verify = cluster.flag("insecure-skip-tls-verify")?;
    config.tls.server_name_override = cluster.text("tls-server-name")?.unwrap_or_default().to_owned();
    match cluster.pem("certificate-authority-data")? {
        Some(pem) => config.tls.common.ca_pem = pem,
        None => cluster.path("certificate-authority")?.into_iter().for_each(|path| config.trust_file(path)),
    }
    if let Some(user) = user {
        user.refuse_what_is_not_supported()?;
        let own = &mut config.tls.common;
        match user.pem("client-certificate-data")? {
            Some(pem) => own.cert_pem = pem,
            None => own.cert_file = user.path("client-certificate")?.unwrap_or_default(),
        }
        match user.pem("client-key-data")? {
            Some(pem) => own.key_pem = pem,
            None => own.key_file = user.path("client-key")?.unwrap_or_default(),
        }
        config.credentials = user.credentials(&config)?;
    }
    Ok(config)
}

impl<'a> Entry<'a> {
    fn wrong(&self, reason: impl AsRef<str>) -> Error {
        wrong(&self.document.path, format!("{} {}", self.what, reason.as_ref()))
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.node?.get(key).filter(|node| !node.is_null())
    }

    /// Text that is not empty.
    fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(node) => match node.as_str() {
                Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                None => Err(self.wrong(format!("has {key} that is no text"))),
            },
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.get(key).map(|node| &node.kind) {
            None => Ok(false),
            Some(NodeKind::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(format!("has {key} that is neither true nor false"))),
        }
    }

    fn path(&self, key: &str) -> Result<Option<PathBuf>, Error> {
        Ok(self.text(key)?.map(|path| self.document.resolve(path)))
    }

    /// PEM text that is written in base64.
    fn pem(&self, key: &str) -> Result<Option<Secret>, Error> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let bytes = STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok();
        match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(pem) => Ok(Some(Secret::new(pem))),
            None => Err(self.wrong(format!("has {key} that is no text in base64"))),
        }
    }

    /// The URL of a cluster's server.
    fn server(&self) -> Result<Uri, Error> {
        let Some(server) = self.text("server")? else { return Err(self.wrong("has no server")) };
        let url = if server.contains("://") { server.to_owned() } else { format!("https://{server}") };
        url.parse().map_err(|error| self.wrong(format!("has a server {server:?} that is no URL: {error}")))
    }

    fn refuse_what_is_not_supported(&self) -> Result<(), Error> {
        if let Some(provider) = self.get("auth-provider") {
            let name = provider.get("name").and_then(Node::as_str).unwrap_or_default();
            return Err(self.wrong(format!(
                "needs the auth-provider {name:?}, which Kubernetes has given up: let an exec plugin give the token"
            )));
        }
        match ["as", "as-uid", "as-groups"].into_iter().find(|key| self.get(key).is_some()) {
            Some(key) => Err(self.wrong(format!("asks for impersonation ({key}), which is not supported"))),
            None => Ok(()),
        }
    }

    /// Who a user is. Of several ways the one that client-go prefers.
    fn credentials(&self, config: &ApiServerConfig) -> Result<Credentials, Error> {
        if let Some(path) = self.path("tokenFile")? {
            return Ok(Credentials::TokenFile(path));
        }
        if let Some(token) = self.text("token")? {
            return Ok(Credentials::Token(Secret::new(token)));
        }
        if let Some(username) = self.text("username")? {
            let password = Secret::new(self.text("password")?.unwrap_or_default());
            return Ok(Credentials::Basic { username: username.to_owned(), password });
        }
        let Some(node) = self.get("exec") else { return Ok(Credentials::None) };
        let plugin =
            Entry { document: self.document, what: format!("{}: exec", self.what), node: Some(node) };
        Ok(Credentials::Exec(Box::new(plugin.plugin(config)?)))
    }

    fn plugin(&self, config: &ApiServerConfig) -> Result<ExecConfig, Error> {
        let api_version = self.text("apiVersion")?.unwrap_or_default().to_owned();
        if !VERSIONS.contains(&api_version.as_str()) {
            return Err(self
                .wrong(format!("has apiVersion {api_version:?}: expected one of {}", VERSIONS.join(", "))));
        }
        if self.text("interactiveMode")? == Some("Always") {
            return Err(self.wrong("needs somebody at a terminal (interactiveMode: Always)"));
        }
        let Some(command) = self.text("command")? else { return Err(self.wrong("has no command")) };
        Ok(ExecConfig {
            // Names without a slash are looked for in PATH.
            command: if command.contains('/') { self.document.resolve(command) } else { command.into() },
            args: self.arguments()?,
            env: self.variables()?,
            install_hint: self.text("installHint")?.unwrap_or_default().to_owned(),
            cluster: if self.flag("provideClusterInfo")? { Some(self.told(config)?) } else { None },
            api_version,
        })
    }

    fn list(&self, key: &str) -> Result<&'a [Node], Error> {
        match self.get(key) {
            None => Ok(&[]),
            Some(node) => node.as_seq().ok_or_else(|| self.wrong(format!("has {key} that is no list"))),
        }
    }

    fn arguments(&self) -> Result<Vec<String>, Error> {
        let texts = self.list("args")?.iter().map(|arg| arg.as_str().map(str::to_owned));
        texts.collect::<Option<_>>().ok_or_else(|| self.wrong("has args that are no text"))
    }

    fn variables(&self) -> Result<Vec<(String, Secret)>, Error> {
        let text = |node: &Node, key: &str| Some(node.get(key)?.as_str()?.to_owned());
        let pairs = self.list("env")?.iter().map(|pair| {
            // Such names make the system refuse the whole command, or mean another variable.
            let name = text(pair, "name").filter(|name| !name.is_empty() && !name.contains(['=', '\0']))?;
            Some((name, Secret::new(text(pair, "value").filter(|value| !value.contains('\0'))?)))
        });
        pairs.collect::<Option<_>>().ok_or_else(|| self.wrong("has env that is no list of names and values"))
    }

    /// The cluster as the plugin is told about it.
    fn told(&self, config: &ApiServerConfig) -> Result<ExecCluster, Error> {
        let (tls, own) = (&config.tls, &config.tls.common);
        let authority = match own.ca_file.as_os_str().is_empty() {
            true => own.ca_pem.expose().to_owned(),
            false => read(&own.ca_file).map_err(|reason| {
                self.wrong(format!("cannot be told of {}: {reason}", own.ca_file.display()))
            })?,
        };
        Ok(ExecCluster {
            server: config.url.to_string(),
            tls_server_name: tls.server_name_override.clone(),
            insecure_skip_tls_verify: tls.insecure_skip_verify,
            certificate_authority_data: STANDARD.encode(authority),
        })
    }
}

/// The files of `KUBECONFIG`, else the one in the home directory.
pub(super) fn usual_paths(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Vec<PathBuf> {
    let listed = variable("KUBECONFIG").unwrap_or_default();
    let paths: Vec<_> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if !paths.is_empty() {
        return paths;
    }
    vec![PathBuf::from(variable("HOME").unwrap_or_default()).join(".kube/config")]
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(format!("it is longer than {LONGEST_FILE} bytes"));
    }
    Ok(text)
}

fn wrong(path: &Path, reason: impl Into<String>) -> Error {
    Error::Kubeconfig { path: path.to_owned(), reason: reason.into() }
}
