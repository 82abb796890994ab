//! A wait that differs from machine to machine, so that the machines of a cluster do not ask at the same moment.

use std::time::Duration;

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3);

/// Less than [`LONGEST`], always the same for a host: upstream's formula, the FNV-1 hash of the host's name without its
/// lowest bit, in nanoseconds.
pub(crate) fn jitter(host: &str) -> Duration {
    let hash = host
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    Duration::from_nanos((hash >> 1) % LONGEST.as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        fn check(host: &str, hash: u64) {
            assert_eq!(jitter(host), Duration::from_nanos((hash >> 1) % 3_000_000_000), "{host}");
        }
        // The published vectors of the 64 bit FNV-1 hash.
        check("", 0xcbf2_9ce4_8422_2325);
        check("a", 0xaf63_bd4c_8601_b7be);
        check("foobar", 0x340d_8765_a4dd_a9c2);
        assert!(jitter("ip-10-0-1-20.ec2.internal") < LONGEST);
    }
}
