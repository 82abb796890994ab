//! What CloudWatch Logs accepts.

use std::collections::BTreeMap;

use regex::Regex;

/// Days for which a group can keep events; 0 stands for ever.
const RETENTION_DAYS: [i64; 22] =
    [0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, 3653];
/// The characters of tags.
const TAG_PATTERN: &str = r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$";

/// Why groups cannot be made as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupConfigError {
    /// CloudWatch has no such retention.
    #[error(
        "invalid value for retention policy.  Please make sure to use the following values: 0 (Never Expire), 1, 3, 5, 7, \
         14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 2192, 2557, 2922, 3288, or 3653"
    )]
    Retention,
    /// A map of tags without tags.
    #[error("invalid amount of items.  Please input at least 1 tag or remove the tag field")]
    NoTags,
    /// More than 50 tags.
    #[error("invalid amount of items.  Please input at most 50 tags")]
    TooManyTags,
    /// A key of no or more than 128 bytes.
    #[error("key - {0} has an invalid length.  Please use keys with a length of 1 to 128 characters")]
    KeyLength(String),
    /// A value of no or more than 256 bytes.
    #[error("value - {0} has an invalid length.  Please use values with a length of 1 to 256 characters")]
    ValueLength(String),
    /// A key with a character that tags cannot have.
    #[error("key - {0} does not follow the regex pattern{TAG_PATTERN}")]
    KeyPattern(String),
    /// A value with a character that tags cannot have.
    #[error("value - {0} does not follow the regex pattern{TAG_PATTERN}")]
    ValuePattern(String),
}

/// Checks the retention of groups.
///
/// # Errors
/// The number of days is none that CloudWatch knows.
pub fn check_retention(days: i64) -> Result<(), GroupConfigError> {
    if RETENTION_DAYS.contains(&days) { Ok(()) } else { Err(GroupConfigError::Retention) }
}

/// Checks the tags of groups; an unset map is not to be passed.
///
/// # Errors
/// The first fault, in order of keys.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), GroupConfigError> {
    if tags.is_empty() {
        return Err(GroupConfigError::NoTags);
    }
    if tags.len() > 50 {
        return Err(GroupConfigError::TooManyTags);
    }
    let pattern = Regex::new(TAG_PATTERN).ok();
    let fits = |text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
    for (key, value) in tags {
        if !(1..=128).contains(&key.len()) {
            return Err(GroupConfigError::KeyLength(key.clone()));
        }
        if !(1..=256).contains(&value.len()) {
            return Err(GroupConfigError::ValueLength(value.clone()));
        }
        if !fits(key) {
            return Err(GroupConfigError::KeyPattern(key.clone()));
        }
        if !fits(value) {
            return Err(GroupConfigError::ValuePattern(value.clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention() {
        assert_eq!(check_retention(0), Ok(()));
        assert_eq!(check_retention(3653), Ok(()));
        assert_eq!(check_retention(2), Err(GroupConfigError::Retention));
        assert_eq!(check_retention(-1), Err(GroupConfigError::Retention));
    }

    #[test]
    fn tags() {
        let check = |pairs: &[(&str, &str)], expected: Result<(), GroupConfigError>| {
            let tags = pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(check_tags(&tags), expected);
        };
        check(&[("a", "b"), ("é 1", "x_.:/=+-@")], Ok(()));
        check(&[], Err(GroupConfigError::NoTags));
        check(&[("", "b")], Err(GroupConfigError::KeyLength(String::new())));
        check(&[("a", "")], Err(GroupConfigError::ValueLength(String::new())));
        check(&[("a*", "b")], Err(GroupConfigError::KeyPattern("a*".into())));
        check(&[("a", "b!")], Err(GroupConfigError::ValuePattern("b!".into())));
        let many: BTreeMap<_, _> = (0..51).map(|i| (i.to_string(), "x".to_owned())).collect();
        assert_eq!(check_tags(&many), Err(GroupConfigError::TooManyTags));
    }
}
