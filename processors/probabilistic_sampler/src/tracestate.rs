//! The W3C trace state of a span, with what OpenTelemetry's part of it says about sampling.
//!
//! Source: W3C Trace Context Level 2, "tracestate header"; OpenTelemetry specification, "TraceState handling": members are joined by
//! `,`, and those of the member `ot` by `;`: `ot=th:c;rv:9b8233f7e3a151,vendor=value`.

use crate::threshold::{Randomness, Threshold, ValueError};

/// The longest trace state, and the longest member `ot`, in bytes.
const MAX_LEN: usize = 1024;
const MAX_OT_LEN: usize = 256;
/// Members beyond these are refused, counted as upstream does.
const MAX_MEMBERS: usize = 31;
const MAX_KEY_LEN: usize = 256;
const MAX_TENANT_LEN: usize = 241;
const MAX_SYSTEM_LEN: usize = 14;
const MAX_VALUE_LEN: usize = 256;

/// A parsed trace state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TraceState<'a> {
    /// The R-value as written, and what it says.
    pub(crate) randomness: Option<(String, Randomness)>,
    /// The T-value as written, and what it says.
    pub(crate) threshold: Option<(String, Threshold)>,
    /// The other members of `ot`.
    others: Vec<(&'a str, &'a str)>,
    /// The members beside `ot`.
    vendors: Vec<(&'a str, &'a str)>,
}

impl<'a> TraceState<'a> {
    /// Reads a trace state; the first fault is reported.
    pub(crate) fn parse(text: &'a str) -> Result<Self, ValueError> {
        let mut state = Self::default();
        if text.is_empty() {
            return Ok(state);
        }
        if text.len() > MAX_LEN {
            return Err(ValueError::TraceStateSize);
        }
        let members = || text.split(',').map(|member| member.trim_matches([' ', '\t']));
        let pair =
            |member: &'a str| member.split_once('=').filter(|(key, value)| is_key(key) && is_value(value));
        if members().any(|member| !member.is_empty() && pair(member).is_none()) {
            return Err(ValueError::TraceStateSyntax);
        }
        // A comma at the end begins no member.
        let count = members().count() - usize::from(text.ends_with(','));
        if count > MAX_MEMBERS {
            return Err(ValueError::TraceStateSize);
        }
        for (key, value) in members().filter_map(pair) {
            if !is_short(key) {
                return Err(ValueError::TraceStateSize);
            }
            if key == "ot" {
                state.parse_ot(value)?;
            } else {
                state.vendors.push((key, value));
            }
        }
        Ok(state)
    }

    fn parse_ot(&mut self, text: &'a str) -> Result<(), ValueError> {
        if text.len() > MAX_OT_LEN {
            return Err(ValueError::TraceStateSize);
        }
        (self.randomness, self.threshold) = (None, None);
        self.others.clear();
        for member in text.split(';') {
            let pair = member.split_once(':').filter(|(key, value)| is_ot_key(key) && is_ot_value(value));
            match pair.ok_or(ValueError::TraceStateSyntax)? {
                ("rv", text) => self.randomness = Some((text.to_owned(), Randomness::parse(text)?)),
                ("th", text) => self.threshold = Some((text.to_owned(), Threshold::parse(text)?)),
                other => self.others.push(other),
            }
        }
        Ok(())
    }

    /// The text again; `ot` stands first.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let randomness = self.randomness.as_ref().map(|(value, _)| ("rv", value.as_str()));
        let threshold = self.threshold.as_ref().map(|(value, _)| ("th", value.as_str()));
        let others = randomness.into_iter().chain(threshold).chain(self.others.iter().copied());
        for (key, value) in others {
            text.push_str(if text.is_empty() { "ot=" } else { ";" });
            text.push_str(key);
            text.push(':');
            text.push_str(value);
        }
        for (key, value) in &self.vendors {
            if !text.is_empty() {
                text.push(',');
            }
            text.push_str(key);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

fn is_short(key: &str) -> bool {
    let parts = key.split_once('@');
    key.len() <= MAX_KEY_LEN
        && parts
            .is_none_or(|(tenant, system)| tenant.len() <= MAX_TENANT_LEN && system.len() <= MAX_SYSTEM_LEN)
}

fn is_key(key: &str) -> bool {
    let rest = |text: &str| {
        text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
    };
    let begins = |text: &str, digits: bool| {
        text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || (digits && byte.is_ascii_digit()))
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            begins(tenant, true) && begins(system, false) && rest(tenant) && rest(system)
        }
        None => begins(key, false) && rest(key),
    }
}

fn is_value(value: &str) -> bool {
    let last_is_blank = value.ends_with(' ');
    !value.is_empty()
        && value.len() <= MAX_VALUE_LEN
        && !last_is_blank
        && value.bytes().all(|byte| matches!(byte, 0x20..=0x2b | 0x2d..=0x3c | 0x3e..=0x7e))
}

fn is_ot_key(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn is_ot_value(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_and_written() {
        let check = |text: &str, expected: Result<&str, ValueError>| {
            let written = TraceState::parse(text).map(|state| state.text());
            assert_eq!(written.as_deref(), expected.as_ref().copied(), "{text}");
        };
        let syntax = || Err(ValueError::TraceStateSyntax);
        let size = || Err(ValueError::TraceStateSize);
        check("", Ok(""));
        check("ot=th:c", Ok("ot=th:c"));
        check("a=1, ot=x:y;th:80;rv:9B8233f7e3a151 ,,b@c=2 =", syntax());
        check(
            "a=1, ot=x:y;th:80;rv:9B8233f7e3a151 ,,b@c= 2",
            Ok("ot=rv:9B8233f7e3a151;th:80;x:y,a=1,b@c= 2"),
        );
        check("ot=a:1,ot=th:8", Ok("ot=th:8"));
        check("a", syntax());
        check("=1", syntax());
        check("a=", syntax());
        check("A=1", syntax());
        check("1=1", syntax());
        check("1@a=1", Ok("1@a=1"));
        check("1@2=1", syntax());
        check("a=ü", syntax());
        check("ot=th:c;", syntax());
        check("ot=th", syntax());
        check("ot=Th:c", syntax());
        check("ot=th:-1", Err(ValueError::NoNumber("-1".to_owned())));
        check("ot=th:abababababababab", Err(ValueError::ThresholdSize));
        check("ot=th:", Err(ValueError::ThresholdEmpty));
        check("ot=rv:abababababababab", Err(ValueError::RandomnessSize));
        check(&format!("ot=a:{}", "x".repeat(255)), syntax());
        check(&format!("ot=a:{}", "x".repeat(254)), Ok(&format!("ot=a:{}", "x".repeat(254))));
        check(&format!("a={}", "x".repeat(1100)), size());
        check(&format!("{}=1", "a".repeat(257)), size());
        check(&format!("{}@a=1", "a".repeat(242)), size());
        check(&format!("a@{}=1", "a".repeat(15)), size());
        let members: Vec<String> = (0..32).map(|number| format!("a{number}=1")).collect();
        check(&members.join(","), size());
        check(&members[1..].join(","), Ok(&members[1..].join(",")));
    }

    /// Whatever the text: it is refused, or what is written reads back as the same.
    #[test]
    fn any_text() {
        let mut seed = 1u64;
        let mut random = |limit: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % limit
        };
        let pieces =
            ["ot", "=", ",", ";", ":", "th", "rv", "a", "9b8233f7e3a151", "0", " ", "@", "é", "\t", "f"];
        for _ in 0..20_000 {
            let len = random(14);
            let text: String = (0..len).filter_map(|_| pieces.get(random(pieces.len()))).copied().collect();
            if let Ok(state) = TraceState::parse(&text) {
                let written = state.text();
                assert_eq!(TraceState::parse(&written).as_ref(), Ok(&state), "{text:?} {written:?}");
            }
        }
    }
}
