//! What users write.

use std::time::Duration as Time;

use aws::StaticKeys;
use confmap::{Duration, Problems, Secret};
use serde::Deserialize;

/// The key that means all.
const ALL: &str = "*";
/// The tag that an Auto Scaling group gives to its instances, and the dimension that it is known as.
pub(crate) const GROUP_TAG: &str = "aws:autoscaling:groupName";
pub(crate) const GROUP_DIMENSION: &str = "AutoScalingGroupName";

/// The configuration of the processor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// How often tags are asked for again; 0 only until all that are named are there.
    pub refresh_tags_interval: Duration,
    /// How often volumes are asked for again; 0 only until all that are named are there.
    pub refresh_volumes_interval: Duration,
    /// Both intervals in one, as older configurations have it; counts where the others are 0.
    pub refresh_interval_seconds: Duration,
    /// What of the instance is added: `InstanceId`, `ImageId`, `InstanceType`.
    pub ec2_metadata_tags: Vec<String>,
    /// Which tags of the instance are added; `*` for all.
    pub ec2_instance_tag_keys: Vec<String>,
    /// Of which devices the EBS volume is added; `*` for all.
    pub ebs_device_keys: Vec<String>,
    /// The attribute that names the device of a data point.
    pub disk_device_tag_key: String,
    /// The id of the access key that EC2 is asked with; with `secret_key`.
    pub access_key: Secret,
    /// The secret access key.
    pub secret_key: Secret,
    /// The token of temporary keys.
    pub token: Secret,
    /// The role to assume.
    pub role_arn: String,
    /// The profile of the shared configuration files; empty for the active one.
    pub profile: String,
    /// A credentials file instead of the usual one.
    pub shared_credential_file: String,
    /// How often instance metadata are asked again.
    pub imds_retries: u32,
    /// The extension of the CloudWatch agent that watches its AWS calls; no effect.
    pub middleware: Option<String>,
    /// How long data wait at the start for what is to be added.
    pub wait_for_tags: Duration,
}

/// Which of several things are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    None,
    All,
    Named(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            refresh_tags_interval: Duration::ZERO,
            refresh_volumes_interval: Duration::ZERO,
            refresh_interval_seconds: Duration::ZERO,
            ec2_metadata_tags: Vec::new(),
            ec2_instance_tag_keys: Vec::new(),
            ebs_device_keys: Vec::new(),
            disk_device_tag_key: String::new(),
            access_key: Secret::default(),
            secret_key: Secret::default(),
            token: Secret::default(),
            role_arn: String::new(),
            profile: String::new(),
            shared_credential_file: String::new(),
            imds_retries: 0,
            middleware: None,
            wait_for_tags: Duration::from_secs(10),
        }
    }
}

impl component::Config for Config {
    fn validate(&self, problems: &mut Problems) {
        self.keys().validate(problems);
    }
}

impl Config {
    /// The keys that EC2 is asked with.
    pub(crate) fn keys(&self) -> StaticKeys {
        let Self { access_key, secret_key, token, .. } = self;
        StaticKeys { access_key: access_key.clone(), secret_key: secret_key.clone(), token: token.clone() }
    }

    /// Which tags are added, by their keys at EC2.
    pub(crate) fn tags(&self) -> Wanted {
        Wanted::of(&self.ec2_instance_tag_keys, |key| if key == GROUP_DIMENSION { GROUP_TAG } else { key })
    }

    /// Of which devices the volumes are added, without `/dev/`.
    pub(crate) fn devices(&self) -> Wanted {
        Wanted::of(&self.ebs_device_keys, node::device_name)
    }

    /// How often tags and volumes are asked for again.
    pub(crate) fn intervals(&self) -> (Time, Time) {
        let or_both = |interval: Duration| {
            if interval.is_zero() { *self.refresh_interval_seconds } else { *interval }
        };
        (or_both(self.refresh_tags_interval), or_both(self.refresh_volumes_interval))
    }
}

impl Wanted {
    fn of(keys: &[String], name: impl Fn(&str) -> &str) -> Self {
        match keys {
            [] => Self::None,
            [only] if only == ALL => Self::All,
            keys => {
                Self::Named(keys.iter().filter(|key| *key != ALL).map(|key| name(key).to_owned()).collect())
            }
        }
    }

    /// Whether this one is wanted.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Named(names) => names.iter().any(|wanted| wanted == name),
        }
    }

    /// Whether all that are named are there; of `*` nobody can say.
    pub(crate) fn are_all(&self, is_there: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::None | Self::All => true,
            Self::Named(names) => names.iter().all(|name| is_there(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let check = |yaml: &str, tags: Wanted, devices: Wanted| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            assert_eq!((config.tags(), config.devices()), (tags, devices), "{yaml}");
        };
        let named = |names: &[&str]| Wanted::Named(names.iter().map(|name| (*name).to_owned()).collect());
        check("{}", Wanted::None, Wanted::None);
        check("{ec2_instance_tag_keys: ['*'], ebs_device_keys: ['*']}", Wanted::All, Wanted::All);
        check(
            "{ec2_instance_tag_keys: [AutoScalingGroupName, Name], ebs_device_keys: [/dev/xvda, nvme0n1]}",
            named(&[GROUP_TAG, "Name"]),
            named(&["xvda", "nvme0n1"]),
        );
        check("ec2_instance_tag_keys: [Name, '*']", named(&["Name"]), Wanted::None);
    }

    #[test]
    fn intervals() {
        let check = |yaml: &str, tags: u64, volumes: u64| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            assert_eq!(config.intervals(), (Time::from_secs(tags), Time::from_secs(volumes)), "{yaml}");
        };
        check("{}", 0, 0);
        check("refresh_interval_seconds: 60s", 60, 60);
        check("{refresh_interval_seconds: 60s, refresh_volumes_interval: 5m}", 60, 300);
    }

    #[test]
    fn keys_belong_together_and_are_not_shown() {
        let check = |yaml: &str, expected: &[&str]| {
            let config: Config = confmap::from_yaml(yaml).unwrap();
            let mut problems = Problems::default();
            component::Config::validate(&config, &mut problems);
            let text = problems.to_string();
            assert_eq!(text.is_empty(), expected.is_empty(), "{text}");
            assert!(expected.iter().all(|expected| text.contains(expected)), "{text}");
            assert!(!format!("{text} {config:?} {:?}", config.keys()).contains("HUSH"));
        };
        check("{}", &[]);
        check("{access_key: HUSH1, secret_key: HUSH2}", &[]);
        check("{access_key: HUSH1, secret_key: HUSH2, token: HUSH3}", &[]);
        check("secret_key: HUSH2", &["access_key: must be set together with secret_key"]);
        check("access_key: HUSH1", &["secret_key: must be set together with access_key"]);
        check("token: HUSH3", &["access_key: must be set", "secret_key: must be set together with token"]);
    }
}
