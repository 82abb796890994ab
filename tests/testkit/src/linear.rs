//! Growth of work with its input.

use rustix::time::{ClockId, clock_gettime};

/// How much more than in proportion the work may grow over a factor of 16: sorting and caches, not squares.
const TOLERANCE: f64 = 4.0;
/// The fastest of this many runs counts: others share the machine.
const RUNS: usize = 3;

/// Asserts that `work` of a size takes CPU time of this thread about in proportion to the size: `16 * small` at most 64 times
/// as long as `small`.
///
/// `prepare` makes the input, whose time does not count. `small` should be large enough to take a millisecond.
pub fn assert_linear<T>(small: usize, mut prepare: impl FnMut(usize) -> T, mut work: impl FnMut(&T)) {
    let mut time = |size: usize| {
        let input = prepare(size);
        let runs = (0..RUNS).map(|_| {
            let start = thread_time();
            work(&input);
            thread_time() - start
        });
        runs.fold(f64::INFINITY, f64::min)
    };
    let (few, many) = (time(small), time(16 * small));
    let limit = 16.0 * TOLERANCE * few.max(50e-6);
    assert!(many <= limit, "{small} take {few:.6} s, 16 times as many {many:.6} s: more than {limit:.6} s");
}

/// CPU time of this thread in seconds.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(items: &[u64]) -> u64 {
        items.iter().map(|one| items.iter().filter(|other| *other == one).count() as u64).sum()
    }

    #[test]
    fn proportional_work_passes() {
        assert_linear(
            100_000,
            |size| vec![1_u64; size],
            |items| {
                std::hint::black_box(items.iter().sum::<u64>());
            },
        );
    }

    #[test]
    #[should_panic(expected = "16 times as many")]
    fn quadratic_work_is_found() {
        assert_linear(
            500,
            |size| vec![1_u64; size],
            |items| {
                std::hint::black_box(pairs(items.as_slice()));
            },
        );
    }
}
