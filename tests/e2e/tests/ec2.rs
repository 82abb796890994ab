//! EC2 and instance metadata of others: moto, which boto3 fills, and AWS' own amazon-ec2-metadata-mock.
//!
//! The first needs Python with moto and boto3 (`INSIGHTS_PYTHON` names the interpreter; without it the `python3` of the path is
//! tried), the second the program `ec2-metadata-mock` (`INSIGHTS_METADATA_MOCK` names it):
//! `go install github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock@v1.13.0`. Without them the tests are
//! listed as ignored; the first fails instead where `INSIGHTS_REQUIRE_PEERS` is set.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a test program; a missing member of a JSON value is null"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use aws::SessionConfig;
use aws::ec2::Ec2;
use aws::imds::{Imds, ImdsError};
use e2e::{free_address, wait_for_port};
use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};

/// In a process of its own, whose environment says where instance metadata are.
const ASK_METADATA: &str = "INSIGHTS_ASK_METADATA";

/// A counterpart; ended when dropped.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> ExitCode {
    if std::env::var_os(ASK_METADATA).is_some() {
        return match block_on(ask_metadata()) {
            Ok(found) => {
                println!("{found}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let arguments = Arguments::from_args();
    let moto = runs(Command::new(python()).args(["-c", "import boto3, moto.server"]));
    let mock = runs(Command::new(metadata_mock()).arg("--version"));
    if !arguments.list {
        for (found, name) in [(moto, "Python with moto and boto3"), (mock, "ec2-metadata-mock")] {
            if !found {
                eprintln!("skipped: there is no {name}");
            }
        }
    }
    let required = std::env::var_os("INSIGHTS_REQUIRE_PEERS").is_some();
    let trial = |name: &str, test: fn() -> Result<()>, ignored: bool| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into()))
            .with_ignored_flag(ignored)
    };
    let trials = vec![
        trial("moto_describes_an_instance", || block_on(moto_describes_an_instance()), !moto && !required),
        trial("the_metadata_mock_tells_who_it_is", the_metadata_mock_tells_who_it_is, !mock),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn python() -> OsString {
    std::env::var_os("INSIGHTS_PYTHON").unwrap_or_else(|| "python3".into())
}

fn metadata_mock() -> OsString {
    std::env::var_os("INSIGHTS_METADATA_MOCK").unwrap_or_else(|| "ec2-metadata-mock".into())
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn runs(command: &mut Command) -> bool {
    quiet(command).status().is_ok_and(|status| status.success())
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

async fn moto_describes_an_instance() -> Result<()> {
    let address = free_address()?;
    let mut command = Command::new(python());
    command.args(["-m", "moto.server", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
    let _moto = Peer(quiet(&mut command).spawn()?);
    wait_for_port(address)?;
    let endpoint = format!("http://{address}");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ec2_instance.py");
    let output = Command::new(python())
        .args([script, &endpoint])
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Value = serde_json::from_slice(&output.stdout)?;

    let credentials = tempfile::NamedTempFile::new()?;
    std::fs::write(&credentials, "[moto]\naws_access_key_id = test\naws_secret_access_key = test\n")?;
    let config = SessionConfig {
        region: "us-west-2".to_owned(),
        endpoint,
        profile: "moto".to_owned(),
        shared_credentials_file: vec![credentials.path().to_string_lossy().into_owned()],
        ..SessionConfig::default()
    };
    let ec2 = Ec2::new(&config.load().await?)?;
    let id = expected["id"].as_str().context("an id")?;
    let tags = |tags: Vec<aws::ec2::Tag>| -> BTreeMap<String, String> {
        tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
    };
    let found = tags(ec2.tags(id).await?);
    ensure!(json!(found) == expected["tags"], "{found:?} {expected}");
    let volumes = ec2.volumes(id).await?;
    ensure!(volumes.iter().all(|volume| expected["zone"] == *volume.availability_zone), "{volumes:?}");
    let volumes: BTreeMap<_, _> = volumes.into_iter().map(|volume| (volume.device, volume.id)).collect();
    ensure!(json!(volumes) == expected["volumes"] && volumes.len() == 2, "{volumes:?} {expected}");
    let found = ec2.instance(id).await?.context("the instance")?;
    let said = json!({"id": found.id, "type": found.instance_type, "image": found.image_id,
        "zone": found.availability_zone, "address": found.private_ip, "name": found.private_dns_name,
        "tags": tags(found.tags), "volumes": expected["volumes"]});
    ensure!(said == expected, "{said} {expected}");
    ensure!(ec2.instance("i-0123456789abcdef0").await?.is_none(), "an instance that is not there");
    ensure!(ec2.tags("i-0123456789abcdef0").await?.is_empty(), "tags of what is not there");
    Ok(())
}

fn the_metadata_mock_tells_who_it_is() -> Result<()> {
    let address = free_address()?;
    let mut command = Command::new(metadata_mock());
    command.args(["--hostname", "127.0.0.1", "--port", &address.port().to_string(), "--imdsv2"]);
    let _mock = Peer(quiet(&mut command).spawn()?);
    wait_for_port(address)?;
    let output = Command::new(std::env::current_exe()?)
        .env(ASK_METADATA, "1")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout)?;
    // What it says unless it is told otherwise.
    ensure!(found["id"] == "i-1234567890abcdef0" && found["type"] == "m4.xlarge", "{found}");
    ensure!(found["region"] == "us-east-1" && found["zone"] == "us-east-1f", "{found}");
    ensure!(found["address"] == "10.0.7.10" && found["account"] == "0123456789", "{found}");
    ensure!(found["hostname"] == "ip-172-16-34-43.ec2.internal", "{found}");
    ensure!(found["nothing"] == "not found", "{found}");
    Ok(())
}

async fn ask_metadata() -> Result<Value> {
    let imds = Imds::new(0)?;
    let identity = imds.identity().await?;
    let nothing = match imds.get("/latest/meta-data/nothing").await {
        Err(ImdsError::NotFound { .. }) => "not found".to_owned(),
        other => format!("{other:?}"),
    };
    Ok(json!({"id": identity.instance_id, "type": identity.instance_type, "region": identity.region,
        "zone": identity.availability_zone, "address": identity.private_ip, "account": identity.account_id,
        "hostname": imds.get("/latest/meta-data/hostname").await?, "nothing": nothing}))
}
