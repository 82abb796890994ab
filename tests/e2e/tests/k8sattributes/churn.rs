//! Pods that come and go, and who had which address when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use crate::api::Api;
use crate::bed::{Attributes, text};

/// How many addresses there are, each of them somebody's at any time.
pub(crate) const ADDRESSES: usize = 1000;

const NAMESPACE: &str = "xc-churn";
const NODE: &str = "xc-churn";
/// Requests to the API server at the same time.
const AT_ONCE: usize = 16;

/// Pods, by their addresses, oldest first.
pub(crate) struct Pods {
    api: Api,
    owners: Vec<Mutex<Vec<Owner>>>,
}

/// Who has or had an address.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) pod: Arc<Value>,
    /// When the address was asked for, and when it was certainly given.
    asked: Instant,
    given: Option<Instant>,
}

/// What answers to lookups by addresses were like.
#[derive(Default)]
pub(crate) struct Answers {
    count: usize,
    missing: usize,
    /// How long after its end an owner was still answered, where its successor was there.
    late: Vec<Duration>,
}

impl Pods {
    /// Makes the namespace, the node and a pod for each address. Controllers and the scheduler are to stand still.
    pub(crate) fn new(api: Api) -> Result<Self> {
        let object =
            |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        // Left by a test that was interrupted.
        api.delete(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
        api.delete(&format!("/api/v1/nodes/{NODE}"))?;
        if api.get(&format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")).is_err() {
            api.create(&object("Namespace", NAMESPACE))?;
            let mut account = object("ServiceAccount", "default");
            account["metadata"]["namespace"] = NAMESPACE.into();
            api.create(&account)?;
        }
        api.create(&object("Node", NODE))?;
        let pods = Self { api, owners: (0..ADDRESSES).map(|_| Mutex::default()).collect() };
        pods.at_once(|pods, slot| pods.replace(slot), 0..ADDRESSES)?;
        Ok(pods)
    }

    fn at_once(
        &self,
        work: impl Fn(&Self, usize) -> Result<()> + Sync,
        slots: std::ops::Range<usize>,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = (0..AT_ONCE)
                .map(|first| {
                    let mut slots = slots.clone().skip(first).step_by(AT_ONCE);
                    scope.spawn(move || slots.try_for_each(|slot| work(self, slot)))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| match thread.join() {
                Ok(outcome) => outcome,
                Err(_) => bail!("a thread failed"),
            })
        })
    }

    /// The address of a slot.
    pub(crate) fn address(slot: usize) -> String {
        format!("10.200.{}.{}", slot / 250, slot % 250 + 1)
    }

    /// The pod of an address goes, another one takes it.
    pub(crate) fn replace(&self, slot: usize) -> Result<()> {
        let generation = self.owners(slot).len();
        if let Some(last) = self.owners(slot).last() {
            self.api.delete(&path(&last.pod))?;
        }
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": format!("p-{slot}-{generation}"), "namespace": NAMESPACE,
                "labels": {"app": format!("app-{slot}-{generation}")}},
            "spec": {"nodeName": NODE, "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "main", "image": format!("image-{slot}:{generation}")}]},
        });
        let mut pod = self.api.create(&pod)?;
        pod["metadata"]["managedFields"].take();
        let pod = Arc::new(pod);
        let asked = Instant::now();
        self.slot(slot).push(Owner { pod: Arc::clone(&pod), asked, given: None });
        let address = Self::address(slot);
        // Addresses of pods that were made later do not begin earlier.
        let status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "startTime": pod["metadata"]["creationTimestamp"]});
        self.api.patch_status(&path(&pod), &status)?;
        if let Some(last) = self.slot(slot).last_mut() {
            last.given = Some(Instant::now());
        }
        Ok(())
    }

    /// Replaces pods, so many a second, for so long.
    pub(crate) fn churn(&self, per_second: usize, duration: Duration) -> Result<usize> {
        let begin = Instant::now();
        let count = per_second * usize::try_from(duration.as_secs())?;
        self.at_once(
            |pods, number| {
                let due = begin + Duration::from_secs_f64(number as f64 / per_second as f64);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                pods.replace(number % ADDRESSES)
            },
            0..count,
        )?;
        Ok(count)
    }

    /// Replaces the first of them, all at once.
    pub(crate) fn replace_first(&self, count: usize) -> Result<()> {
        self.at_once(|pods, slot| pods.replace(slot), 0..count)
    }

    /// The pods that are there.
    pub(crate) fn current(&self) -> Vec<Value> {
        (0..ADDRESSES).filter_map(|slot| self.owners(slot).pop()).map(|owner| (*owner.pod).clone()).collect()
    }

    /// The pods that are gone.
    pub(crate) fn gone(&self) -> Vec<Value> {
        let all = (0..ADDRESSES).flat_map(|slot| {
            let mut owners = self.owners(slot);
            owners.pop();
            owners
        });
        all.map(|owner| (*owner.pod).clone()).collect()
    }

    /// All that had an address so far, the last of which may have it not yet.
    pub(crate) fn owners(&self, slot: usize) -> Vec<Owner> {
        self.slot(slot).clone()
    }

    fn slot(&self, slot: usize) -> std::sync::MutexGuard<'_, Vec<Owner>> {
        self.owners[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything goes but the namespace, which only its controller can end.
    pub(crate) fn remove(&self) -> Result<()> {
        self.api.delete(&format!("/api/v1/namespaces/{NAMESPACE}/pods"))?;
        self.api.delete(&format!("/api/v1/nodes/{NODE}"))
    }
}

fn path(pod: &Value) -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods/{}", text(&pod["metadata"]["name"]))
}

impl Answers {
    /// Judges an answer about an address that was asked for after `begin`.
    ///
    /// # Errors
    /// It is about a pod that never had the address, or not yet, or about several pods at once.
    pub(crate) fn judge(&mut self, begin: Instant, owners: &[Owner], answer: &Attributes) -> Result<()> {
        self.count += 1;
        let Some(name) = answer.get("k8s.pod.name") else {
            self.missing += 1;
            return Ok(());
        };
        let found = owners.iter().position(|owner| text(&owner.pod["metadata"]["name"]) == name);
        let at = found.with_context(|| format!("{name} never had this address: {answer:?}"))?;
        let pod = &owners[at].pod;
        is_of(pod, answer)?;
        ensure!(owners[at].asked <= Instant::now(), "{name} does not have the address yet");
        let successor = owners.get(at + 1).and_then(|owner| owner.given).filter(|given| *given < begin);
        self.late.extend(successor.map(|given| begin - given));
        Ok(())
    }

    /// What they were like, in words.
    pub(crate) fn tell(&mut self) -> String {
        self.late.sort_unstable();
        let at = |part: f64| {
            let index = (self.late.len() as f64 * part) as usize;
            self.late.get(index).or(self.late.last()).copied().unwrap_or_default()
        };
        format!(
            "{} answers, {} of them nobody, {} of the last owner though the next was there (at 50 %: {:?}, at 99 %: {:?}, at most {:?})",
            self.count,
            self.missing,
            self.late.len(),
            at(0.5),
            at(0.99),
            self.longest()
        )
    }

    /// The longest time that an owner was answered after its successor was there.
    pub(crate) fn longest(&self) -> Duration {
        self.late.iter().max().copied().unwrap_or_default()
    }

    /// How many found nobody.
    pub(crate) fn missing(&self) -> usize {
        self.missing
    }
}

/// # Errors
/// An attribute is not this pod's.
pub(crate) fn is_of(pod: &Value, answer: &Attributes) -> Result<()> {
    let name = text(&pod["metadata"]["name"]);
    let numbers = name.strip_prefix("p-").and_then(|numbers| numbers.split_once('-'));
    let (slot, generation) = numbers.with_context(|| name.to_owned())?;
    for (key, value) in [
        ("k8s.pod.name", name),
        ("k8s.pod.uid", text(&pod["metadata"]["uid"])),
        ("k8s.namespace.name", NAMESPACE),
        ("k8s.node.name", NODE),
        ("app", format!("app-{slot}-{generation}").as_str()),
        ("container.image.name", format!("image-{slot}").as_str()),
        ("container.image.tag", generation),
    ] {
        let found = answer.get(key).map(String::as_str);
        ensure!(found == Some(value), "{key} of {name} is {found:?}: {answer:?}");
    }
    Ok(())
}
