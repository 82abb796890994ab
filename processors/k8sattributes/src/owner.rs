//! Names of Deployments and CronJobs, told from the names of what they made.

use k8s::row::Time;

/// A CronJob's Job may begin this long after (or, by a wrong clock, before) its scheduled time.
const LONGEST_DELAY_SECONDS: u64 = 1440 * 60;

/// The digits at the end of a CronJob's Job: minutes since 1970.
const MINUTE_DIGITS: usize = 8;

/// The Deployment of a ReplicaSet, whose name it is given with the pods' label `pod-template-hash`.
pub(crate) fn deployment<'a>(replica_set: &'a str, hash: &str) -> Option<&'a str> {
    let name = replica_set.strip_suffix(hash).filter(|_| !hash.is_empty())?;
    name.strip_suffix('-').filter(|name| !name.is_empty())
}

/// The CronJob of a Job, whose name it is given with the minute of its schedule, which must be near the pod's creation.
pub(crate) fn cron_job(job: &str, created: Option<Time>) -> Option<&str> {
    let (name, digits) = job.rsplit_once('-')?;
    if digits.len() != MINUTE_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scheduled = digits.parse::<i64>().ok()? * 60;
    let near = created?.seconds().abs_diff(scheduled) <= LONGEST_DELAY_SECONDS;
    (near && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments() {
        fn check(replica_set: &str, hash: &str, expected: Option<&str>) {
            assert_eq!(deployment(replica_set, hash), expected, "{replica_set} {hash}");
        }
        check("my-deployment-7b9f4c8d5e", "7b9f4c8d5e", Some("my-deployment"));
        check("my-deployment-7b9f4c8d5e", "", None);
        check("my-deployment-7b9f4c8d5e", "7b9f4c8d5e123", None);
        check("mydeployment7b9f4c8d5e", "7b9f4c8d5e", None);
        check("-7b9f4c8d5e", "7b9f4c8d5e", None);
        check("7b9f4c8d5e", "7b9f4c8d5e", None);
    }

    #[test]
    fn cron_jobs() {
        fn check(job: &str, minute: i64, expected: Option<&str>) {
            assert_eq!(cron_job(job, Time::from_seconds(minute * 60)), expected, "{job} {minute}");
        }
        check("ab-12345678", 12_345_678, Some("ab"));
        check("ab-12345678", 12_345_678 + 1440, Some("ab"));
        check("ab-12345678", 12_345_678 + 1441, None);
        check("ab-12345678", 12_345_678 - 1441, None);
        check("ab-1234567", 1_234_567, None);
        check("backup-20260407", 29_594_880, None);
        check("-12345678", 12_345_678, None);
        check("12345678", 12_345_678, None);
        assert_eq!(cron_job("ab-12345678", None), None);
    }
}
