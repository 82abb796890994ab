//! The API server of the test cluster, through `kubectl proxy`, and its processes.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The administrator's way to the API server; ended when dropped.
pub(crate) struct Api {
    proxy: Child,
    address: SocketAddr,
}

/// A process of the test cluster.
pub(crate) struct Process {
    pid: Pid,
    file: PathBuf,
}

/// A process of the test cluster that stands still until this is dropped.
pub(crate) struct Stopped(Process);

impl Api {
    /// Starts the proxy.
    pub(crate) fn start() -> Result<Self> {
        let mut proxy = Command::new("kubectl")
            .args(["proxy", "--port=0", "--disable-filter"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("kubectl proxy")?;
        let mut line = String::new();
        BufReader::new(proxy.stdout.take().context("stdout")?).read_line(&mut line)?;
        let address = line.trim().rsplit(' ').next().unwrap_or_default().parse();
        let address = address.with_context(|| format!("kubectl proxy: {line}"))?;
        Ok(Self { proxy, address })
    }

    fn call(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Result<(u16, Vec<u8>)> {
        let headers =
            [("content-type", kind), ("accept", "application/json"), ("accept-encoding", "identity")];
        let answer = e2e::request(self.address, method, path, &headers, body)?;
        let chunked = answer.head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        Ok((answer.status, if chunked { unchunk(&answer.body)? } else { answer.body }))
    }

    fn json(&self, method: &str, path: &str, kind: &str, body: &Value) -> Result<Value> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, answer) = self.call(method, path, kind, &body)?;
        ensure!(status < 300, "{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).with_context(|| format!("{method} {path}"))
    }

    /// Reads an object or a list.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        self.json("GET", path, "application/json", &Value::Null)
    }

    /// All members of a collection, page by page.
    pub(crate) fn list(&self, collection: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut page = self.get(&format!("{collection}?limit=1000{next}"))?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                all.extend(items);
            }
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => next = format!("&continue={token}"),
                _ => return Ok(all),
            }
        }
    }

    /// Creates an object, unless it is there, and sets its status if it has one; the object as the server has it.
    pub(crate) fn create(&self, object: &Value) -> Result<Value> {
        let collection = collection(object)?;
        let name = object["metadata"]["name"].as_str().context("a name")?;
        let (status, answer) =
            self.call("POST", &collection, "application/json", object.to_string().as_bytes())?;
        let created = match status {
            409 => self.get(&format!("{collection}/{name}"))?,
            200..300 => serde_json::from_slice(&answer)?,
            _ => bail!("{collection}/{name}: {status}: {}", String::from_utf8_lossy(&answer)),
        };
        let Some(status) = object.get("status").filter(|status| !status.is_null()) else {
            return Ok(created);
        };
        self.patch_status(&format!("{collection}/{name}"), status)
    }

    /// Changes an object's status.
    pub(crate) fn patch_status(&self, path: &str, status: &Value) -> Result<Value> {
        let patch = serde_json::json!({"status": status});
        self.json("PATCH", &format!("{path}/status"), "application/merge-patch+json", &patch)
    }

    /// Deletes an object or a collection at once; what is not there is no error.
    pub(crate) fn delete(&self, path: &str) -> Result<()> {
        let (status, answer) =
            self.call("DELETE", &format!("{path}?gracePeriodSeconds=0"), "application/json", b"")?;
        ensure!(
            status < 300 || status == 404,
            "DELETE {path}: {status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// Where objects of this kind are created.
fn collection(object: &Value) -> Result<String> {
    let version = object["apiVersion"].as_str().context("apiVersion")?;
    let group = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = object["kind"].as_str().context("kind")?.to_ascii_lowercase();
    Ok(match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{kind}s"),
        None => format!("{group}/{kind}s"),
    })
}

fn unchunk(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").context("no size of a chunk")?;
        let (size, rest) = body.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size)?.trim(), 16)?;
        let rest = rest.get(2..).unwrap_or_default();
        if size == 0 {
            return Ok(whole);
        }
        whole.extend(rest.get(..size).context("a chunk is cut")?);
        body = rest.get(size + 2..).context("a chunk is cut")?;
    }
}

/// Objects of several YAML documents are created, in order. `<uid KIND NAMESPACE/NAME>` is replaced by the uid of an object
/// that is there before, and the names of `texts` by their values. All uids, by what stands between the brackets.
pub(crate) fn create_all(
    api: &Api,
    documents: &str,
    texts: &HashMap<&str, String>,
) -> Result<(HashMap<String, String>, Vec<Value>)> {
    let mut uids = HashMap::new();
    let mut objects = Vec::new();
    for document in documents.split("\n---\n") {
        let text = substitute(document, texts, &uids)?;
        let object: Value = serde_yaml::from_str(&text).with_context(|| text.clone())?;
        let created = api.create(&object)?;
        let name = created["metadata"]["name"].as_str().unwrap_or_default();
        let key = match created["metadata"]["namespace"].as_str() {
            Some(namespace) => {
                format!("uid {} {namespace}/{name}", object["kind"].as_str().unwrap_or_default())
            }
            None => format!("uid {} {name}", object["kind"].as_str().unwrap_or_default()),
        };
        uids.insert(key, created["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
        objects.push(created);
    }
    Ok((uids, objects))
}

/// Replaces names by their values and uids by what they are.
pub(crate) fn substitute(
    text: &str,
    texts: &HashMap<&str, String>,
    uids: &HashMap<String, String>,
) -> Result<String> {
    let mut text = text.to_owned();
    for (name, value) in texts {
        text = text.replace(name, value);
    }
    while let Some(begin) = text.find("<uid ") {
        let end = text.get(begin..).and_then(|rest| rest.find('>')).context("an open bracket")? + begin;
        let key = text.get(begin + 1..end).unwrap_or_default().to_owned();
        let uid = uids.get(&key).with_context(|| format!("no {key} before it"))?;
        text.replace_range(begin..=end, uid);
    }
    Ok(text)
}

/// Where the test cluster keeps its state: beside the administrator's credentials.
fn state() -> Result<PathBuf> {
    let credentials = std::env::var("KUBECONFIG").context("KUBECONFIG")?;
    Ok(Path::new(&credentials).parent().context("no folder")?.to_owned())
}

impl Process {
    /// A process by its name.
    pub(crate) fn of_cluster(name: &str) -> Result<Self> {
        let file = state()?.join(format!("{name}.pid"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let number = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else { bail!("{} has no number", file.display()) };
        Ok(Self { pid, file })
    }

    /// Ends it at once; its port is free then.
    pub(crate) fn kill(&self) -> Result<()> {
        kill_process(self.pid, Signal::KILL)?;
        let stat = format!("/proc/{}/stat", self.pid.as_raw_pid());
        // A zombie is as good as gone.
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(fs::remove_file(&self.file)?)
    }
}

impl Stopped {
    /// Stops a process by its name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let process = Process::of_cluster(name)?;
        kill_process(process.pid, Signal::STOP)?;
        Ok(Self(process))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // If it has ended there is nothing to continue.
        let _ = kill_process(self.0.pid, Signal::CONT);
    }
}
