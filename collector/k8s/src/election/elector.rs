//! When to take the lead and when to have lost it: pure.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::ElectionConfig;

/// Who leads, as it is written into the lock. Field names and meanings are client-go's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Record {
    /// Who leads; empty if nobody does.
    pub(super) holder_identity: String,
    /// How many seconds after a renewal was seen others wait.
    pub(super) lease_duration_seconds: i64,
    /// When the holder took the lead. Its clock may be wrong: it is only told, never compared with ours.
    pub(super) acquire_time: Option<String>,
    /// When the holder renewed it, by its clock.
    pub(super) renew_time: Option<String>,
    /// How often the lead changed hands.
    pub(super) leader_transitions: i64,
}

/// What to do about a lock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Write this.
    Write(Record),
    /// Somebody else leads.
    Leave,
}

/// One candidate.
///
/// Safety: others take the lock over no sooner than `lease_duration` after they *saw* our last renewal, which is after it was
/// written, which is after we *sent* it. We lead for `renew_deadline` after having sent it, which is shorter, and measured
/// with a clock that goes as fast as theirs.
#[derive(Debug)]
pub(super) struct Elector {
    config: ElectionConfig,
    /// The lock as it was seen last, and since when it has been so.
    observed: Option<(Record, Instant)>,
    /// When the last renewal that succeeded was sent; absent while another leads.
    renewed: Option<Instant>,
}

/// Bound of the lease of other candidates, which anyone who may write the lock can set.
const MAX_LEASE: Duration = Duration::from_secs(24 * 60 * 60);

impl Elector {
    pub(super) fn new(config: ElectionConfig) -> Self {
        Self { config, observed: None, renewed: None }
    }

    /// The lock was read. What to do.
    pub(super) fn decide(&mut self, now: Instant, wall: Timestamp, found: Option<Record>) -> Decision {
        let Some(found) = found else { return Decision::Write(self.record(wall, wall.to_string(), 0)) };
        let seen = match &self.observed {
            Some((record, seen)) if *record == found => *seen,
            _ => now,
        };
        self.observed = Some((found.clone(), seen));
        let is_ours = found.holder_identity == self.config.identity;
        if !is_ours {
            self.renewed = None;
            if !found.holder_identity.is_empty() && now < seen + self.lease_of(&found) {
                return Decision::Leave;
            }
        }
        Decision::Write(self.succeed(wall, &found))
    }

    /// The record that follows `found` if we lead.
    pub(super) fn succeed(&self, wall: Timestamp, found: &Record) -> Record {
        match &found.acquire_time {
            Some(acquired) if found.holder_identity == self.config.identity => {
                self.record(wall, acquired.clone(), found.leader_transitions)
            }
            _ => self.record(wall, wall.to_string(), found.leader_transitions.saturating_add(1)),
        }
    }

    /// The lock was written with what was decided, by a request sent at `sent`.
    pub(super) fn wrote(&mut self, sent: Instant, record: Record) {
        self.observed = Some((record, sent));
        self.renewed = Some(sent);
    }

    /// Until when we lead, if we do at all.
    pub(super) fn leads_until(&self) -> Option<Instant> {
        Some(self.renewed? + self.config.renew_deadline)
    }

    /// Nobody is to lead any more, least of all we. What to write.
    pub(super) fn release(&mut self, wall: Timestamp) -> Option<Record> {
        self.renewed.take()?;
        let (found, _) = self.observed.as_ref()?;
        Some(Record {
            holder_identity: String::new(),
            lease_duration_seconds: 1,
            acquire_time: Some(wall.to_string()),
            renew_time: Some(wall.to_string()),
            leader_transitions: found.leader_transitions,
        })
    }

    /// We did not renew it in time.
    pub(super) fn lost(&mut self) {
        self.renewed = None;
    }

    /// Who leads, as far as is known.
    pub(super) fn holder(&self) -> Option<&str> {
        self.observed
            .as_ref()
            .map(|(record, _)| record.holder_identity.as_str())
            .filter(|holder| !holder.is_empty())
    }

    fn lease_of(&self, found: &Record) -> Duration {
        match u64::try_from(found.lease_duration_seconds) {
            Ok(seconds) if seconds > 0 => Duration::from_secs(seconds).min(MAX_LEASE),
            _ => self.config.lease_duration,
        }
    }

    fn record(&self, wall: Timestamp, acquired: String, transitions: i64) -> Record {
        Record {
            holder_identity: self.config.identity.clone(),
            lease_duration_seconds: i64::try_from(self.config.lease_duration.as_secs()).unwrap_or(i64::MAX),
            acquire_time: Some(acquired),
            renew_time: Some(wall.to_string()),
            leader_transitions: transitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(identity: &str) -> ElectionConfig {
        ElectionConfig::new(identity)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn wall(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_456_800 + second).unwrap()
    }

    fn written(decision: Decision) -> Record {
        match decision {
            Decision::Write(record) => record,
            Decision::Leave => panic!("another leads"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_creates_and_renews_and_keeps_when_it_began() {
        let (mut a, start) = (Elector::new(config("a")), Instant::now());
        let first = written(a.decide(start, wall(0), None));
        assert_eq!(a.leads_until(), None, "not before it is written");
        a.wrote(start, first.clone());
        assert_eq!(a.leads_until(), Some(start + seconds(15)));
        let second = written(a.decide(start + seconds(5), wall(5), Some(first.clone())));
        let expected = Record { renew_time: Some("2026-11-23T18:00:05Z".into()), ..first };
        assert_eq!(second, expected);
        assert_eq!((second.lease_duration_seconds, second.leader_transitions), (60, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn others_wait_by_their_own_clock_from_the_last_change_they_saw() {
        let (mut b, start) = (Elector::new(config("b")), Instant::now());
        // The holder's clock is years behind: that does not matter.
        let held = Record {
            holder_identity: "a".into(),
            lease_duration_seconds: 60,
            acquire_time: Some("1999-01-01T00:00:00Z".into()),
            renew_time: Some("1999-01-01T00:00:00Z".into()),
            leader_transitions: 3,
        };
        let renewed = Record { renew_time: Some("1999-01-01T00:00:05Z".into()), ..held.clone() };
        assert_eq!(b.decide(start, wall(0), Some(held.clone())), Decision::Leave);
        assert_eq!(b.decide(start + seconds(59), wall(59), Some(held)), Decision::Leave);
        assert_eq!(b.decide(start + seconds(59), wall(59), Some(renewed.clone())), Decision::Leave);
        assert_eq!(b.decide(start + seconds(118), wall(118), Some(renewed.clone())), Decision::Leave);
        let taken = written(b.decide(start + seconds(119), wall(119), Some(renewed)));
        assert_eq!((taken.holder_identity.as_str(), taken.leader_transitions), ("b", 4));
        assert_eq!(taken.acquire_time, taken.renew_time);
        assert_eq!(b.holder(), Some("a"), "until it is written");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_released_is_taken_at_once() {
        let (mut a, mut b, start) = (Elector::new(config("a")), Elector::new(config("b")), Instant::now());
        assert_eq!(a.release(wall(0)), None, "nothing to release");
        let first = written(a.decide(start, wall(0), None));
        a.wrote(start, first.clone());
        assert_eq!(b.decide(start, wall(0), Some(first)), Decision::Leave);
        let released = a.release(wall(1)).unwrap();
        assert_eq!(a.leads_until(), None);
        assert_eq!(released.holder_identity, "");
        let taken = written(b.decide(start + seconds(1), wall(1), Some(released)));
        assert_eq!((taken.holder_identity.as_str(), taken.leader_transitions), ("b", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lock_without_a_record_is_free_and_a_stolen_one_is_lost() {
        let (mut a, start) = (Elector::new(config("a")), Instant::now());
        let first = written(a.decide(start, wall(0), Some(Record::default())));
        a.wrote(start, first.clone());
        let stolen = Record { holder_identity: "b".into(), ..first };
        assert_eq!(a.decide(start + seconds(5), wall(5), Some(stolen)), Decision::Leave);
        assert_eq!(a.leads_until(), None);
    }

    /// Candidates whose requests and answers get lost or late, on one lock with versions: there never are two leaders.
    #[tokio::test(start_paused = true)]
    async fn there_never_are_two_leaders() {
        let (start, mut changes) = (Instant::now(), 0);
        for seed in 1..=300u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut dice = |sides: u64| {
                random ^= random >> 12;
                random ^= random << 25;
                random ^= random >> 27;
                (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
            };
            let mut candidates: Vec<Elector> = ["a", "b", "c"].map(|name| Elector::new(config(name))).into();
            let mut cut_until = [0u64; 3];
            let (mut lock, mut version) = (None::<Record>, 0u64);
            // Writes on their way: who, sent at, arrives at, against which version, what.
            let mut flying: Vec<(usize, u64, u64, u64, Record)> = Vec::new();
            let (mut led, mut last) = (0, None);
            for second in 0..1500u64 {
                let now = start + seconds(second);
                let (arrived, later) = flying.into_iter().partition(|flight| flight.2 <= second);
                flying = later;
                let arrived: Vec<(usize, u64, u64, u64, Record)> = arrived;
                for (who, sent, _, against, record) in arrived {
                    if against == version {
                        (lock, version) = (Some(record.clone()), version + 1);
                        // The answer gets lost sometimes; what was written is there all the same.
                        if dice(5) > 0 {
                            candidates[who].wrote(start + seconds(sent), record);
                        }
                    }
                }
                for (who, candidate) in candidates.iter_mut().enumerate() {
                    if dice(200) == 0 {
                        cut_until[who] = second + dice(120);
                    }
                    if (second + who as u64).is_multiple_of(5) && second >= cut_until[who] {
                        let wall = wall(second as i64);
                        if let Decision::Write(record) = candidate.decide(now, wall, lock.clone()) {
                            flying.push((who, second, second + dice(20), version, record));
                        }
                    }
                }
                let leaders: Vec<usize> = (0..3)
                    .filter(|&who| candidates[who].leads_until().is_some_and(|until| now < until))
                    .collect();
                assert!(leaders.len() <= 1, "{leaders:?} at {second} with seed {seed}");
                if let [leader] = leaders[..] {
                    led += 1;
                    changes += u32::from(last.replace(leader).is_some_and(|last| last != leader));
                }
            }
            assert!(led > 300, "{led} seconds with a leader");
        }
        assert!(changes > 300, "{changes} changes of hands");
    }

    #[test]
    fn any_lease_duration_of_another_candidate_is_borne() {
        let mut elector = Elector::new(config("a"));
        for seconds in [i64::MIN, -1, 0, 1, 86_400, i64::MAX] {
            let found = Record {
                holder_identity: "b".to_owned(),
                lease_duration_seconds: seconds,
                ..Record::default()
            };
            let start = Instant::now();
            assert_eq!(elector.decide(start, Timestamp::now(), Some(found.clone())), Decision::Leave);
            let later = elector.decide(start + MAX_LEASE, Timestamp::now(), Some(found));
            assert!(matches!(later, Decision::Write(_)), "{seconds}");
        }
    }
}
