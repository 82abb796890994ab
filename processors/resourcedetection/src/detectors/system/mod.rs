//! `system`: the host that the collector runs on.

mod cpu;
mod host_name;
mod network;
mod os;

use std::sync::Arc;

use async_trait::async_trait;
use pdata::Value;

use crate::config::SystemConfig;
use crate::detector::{Detector, Findings, Switches};
use crate::error::Error;
use crate::sources::{Sources, read};

/// Where the machine's id is, in order.
const MACHINE_ID: [&str; 2] = ["etc/machine-id", "var/lib/dbus/machine-id"];

/// The detector.
pub(crate) struct System {
    pub(crate) config: SystemConfig,
    pub(crate) sources: Arc<dyn Sources>,
}

#[async_trait]
impl Detector for System {
    async fn detect(&self, found: &mut Findings) -> Result<(), Error> {
        let on = &self.config.resource_attributes;
        found.begin();
        let sources = &*self.sources;
        if on.is_on("host.name") {
            match host_name::find(&self.config.hostname_sources, sources).await {
                Ok(name) => found.set(on, "host.name", name),
                Err(error) => found.gap = Some(error),
            }
        }
        found.set(on, "os.type", std::env::consts::OS);
        found.set(on, "host.arch", arch(std::env::consts::ARCH));
        if ["os.description", "os.name", "os.version", "os.build.id"].iter().any(|key| on.is_on(key)) {
            os::set(on, sources, found);
        }
        if on.is_on("host.id") {
            let id = MACHINE_ID.iter().find_map(|path| read(sources, path).ok());
            found.set_text(on, "host.id", id.unwrap_or_default().trim());
        }
        if ["host.ip", "host.mac", "host.interface"].iter().any(|key| on.is_on(key)) {
            let network = network::Network::read(sources);
            found.set_list(on, "host.ip", network.addresses);
            found.set_list(on, "host.mac", network.macs);
            found.set_list(on, "host.interface", network.interfaces);
        }
        self.set_cpu(found);
        Ok(())
    }
}

impl System {
    fn set_cpu(&self, found: &mut Findings) {
        let on = &self.config.resource_attributes;
        let keys = ["vendor.id", "family", "model.id", "model.name", "stepping", "cache.l2.size"];
        if !keys.iter().any(|key| on.is_on(&format!("host.cpu.{key}"))) {
            return;
        }
        let cpu = cpu::Cpu::parse(&read(&*self.sources, "proc/cpuinfo").unwrap_or_default());
        found.set_text(on, "host.cpu.vendor.id", &cpu.vendor);
        found.set_text(on, "host.cpu.family", &cpu.family);
        found.set_text(on, "host.cpu.model.id", &cpu.model);
        found.set_text(on, "host.cpu.model.name", &cpu.model_name);
        found.set_text(on, "host.cpu.stepping", &cpu.stepping);
        if let Some(size) = cpu.cache_kilobytes {
            found.set(on, "host.cpu.cache.l2.size", Value::Int(size));
        }
    }
}

/// The convention's name of an architecture that the compiler calls `name`.
fn arch(name: &str) -> &str {
    match name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "arm" => "arm32",
        "powerpc" => "ppc32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Detect as _, Fake, shown};
    use crate::sources::Uname;

    async fn detect(yaml: &str, fake: Fake) -> Findings {
        System { config: confmap::from_yaml(yaml).unwrap(), sources: Arc::new(fake) }.found().await.unwrap()
    }

    #[tokio::test]
    async fn what_is_on_by_default() {
        let fake = Fake { uname: Uname { node: "host-1".into(), ..Uname::default() }, ..Fake::default() };
        let found = detect("{}", fake).await;
        assert_eq!(shown(&found), ["host.name=host-1", &format!("os.type={}", std::env::consts::OS)]);
        assert!(found.gap.is_none());
    }

    #[tokio::test]
    async fn a_host_without_a_name() {
        let found = detect("{}", Fake::default()).await;
        assert_eq!(found.attributes.len(), 1, "the rest is there");
        let gap = found.gap.unwrap();
        assert_eq!(gap.to_string(), "no source of the host's name has one: dns, os");
        assert!(!gap.is_permanent(), "a name server may come up later");
    }

    #[tokio::test]
    async fn everything_else() {
        let keys = [
            "os.description",
            "os.name",
            "os.version",
            "os.build.id",
            "host.id",
            "host.arch",
            "host.ip",
            "host.mac",
            "host.interface",
            "host.cpu.vendor.id",
            "host.cpu.family",
            "host.cpu.model.id",
            "host.cpu.model.name",
            "host.cpu.stepping",
            "host.cpu.cache.l2.size",
        ];
        let on: Vec<String> = keys.iter().map(|key| format!("{key}: {{enabled: true}}")).collect();
        let off = "host.name: {enabled: false}, os.type: {enabled: false}";
        let fake = Fake::default()
            .with_file("etc/machine-id", "abc123\n")
            .with_file(
                "etc/os-release",
                "NAME=\"Amazon Linux\"\nVERSION=\"2023\"\nID=amzn\nVERSION_ID=2023.6\n",
            )
            .with_file(
                "proc/cpuinfo",
                "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 85\ncache size : 36608 KB\n",
            )
            .with_file("sys/class/net/lo/flags", "0x9")
            .with_file("sys/class/net/eth0/flags", "0x1003")
            .with_file("sys/class/net/eth0/address", "0a:1b:2c:3d:4e:5f\n")
            .with_file("proc/net/fib_trie", "Local:\n  |-- 10.0.0.7\n   /32 host LOCAL\n");
        let uname = Uname {
            system: "Linux".into(),
            node: "n".into(),
            release: "6.1".into(),
            version: "#1 SMP".into(),
            machine: "x86_64".into(),
        };
        let yaml = format!("resource_attributes: {{{}, {off}}}", on.join(", "));
        let found = detect(&yaml, Fake { uname, ..fake }).await;
        assert_eq!(
            shown(&found),
            [
                format!("host.arch={}", arch(std::env::consts::ARCH)).as_str(),
                "os.description=Amazon Linux 2023 (Linux n 6.1 #1 SMP x86_64)",
                "os.name=amazon",
                "os.version=2023.6",
                "os.build.id=6.1",
                "host.id=abc123",
                "host.ip=[10.0.0.7]",
                "host.mac=[0A-1B-2C-3D-4E-5F]",
                "host.interface=[eth0,lo]",
                "host.cpu.vendor.id=GenuineIntel",
                "host.cpu.family=6",
                "host.cpu.model.id=85",
                "host.cpu.cache.l2.size=36608",
            ]
        );
    }
}
