//! References of container images (the grammar of github.com/distribution/reference).

/// The parts of an image reference as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image<'a> {
    /// Registry and path.
    pub(crate) name: &'a str,
    pub(crate) tag: Option<&'a str>,
    /// Algorithm and digits.
    pub(crate) digest: Option<&'a str>,
}

/// The longest name.
const LONGEST_NAME: usize = 255;

/// The registry of references without one.
const DEFAULT_REGISTRY: &str = "docker.io";

impl<'a> Image<'a> {
    /// Takes a reference apart; `None` if it is none.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return None;
        }
        // A colon before the last slash belongs to the registry's port.
        let path = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(path..)?.find(':') {
            Some(colon) => {
                let (name, tag) = rest.split_at_checked(path + colon)?;
                (name, Some(tag.strip_prefix(':')?))
            }
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return None;
        }
        is_name(name).then_some(Self { name, tag, digest })
    }

    /// What `service.version` is: tag, digest, or both.
    pub(crate) fn version(&self) -> Option<String> {
        match (self.tag, self.digest) {
            (Some(tag), Some(digest)) => Some(format!("{tag}@{digest}")),
            (Some(one), None) | (None, Some(one)) => Some(one.to_owned()),
            (None, None) => None,
        }
    }
}

/// The reference of an image's id in full; `None` if it has no digest.
pub(crate) fn repo_digest(image_id: &str) -> Option<String> {
    let is_hex_id = image_id.len() == 64 && image_id.bytes().all(is_hex);
    let image = Image::parse(image_id).filter(|_| !is_hex_id)?;
    let digest = image.digest?;
    let (registry, path) = match image.name.split_once('/') {
        Some((first, path)) if first.contains(['.', ':']) || first == "localhost" => (first, path),
        _ => (DEFAULT_REGISTRY, image.name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    let library = if registry == DEFAULT_REGISTRY && !path.contains('/') { "library/" } else { "" };
    let tag = image.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
    Some(format!("{registry}/{library}{path}{tag}@{digest}"))
}

fn is_name(name: &str) -> bool {
    if name.is_empty() || name.len() > LONGEST_NAME {
        return false;
    }
    match name.split_once('/') {
        Some((first, path)) => (is_path(first) || is_registry(first)) && path.split('/').all(is_component),
        None => is_component(name),
    }
}

fn is_path(text: &str) -> bool {
    text.split('/').all(is_component)
}

/// Host name or address, with or without a port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((address, "")) => return is_ipv6(address),
        Some((address, port)) if is_ipv6(address) => ("ipv6", port.strip_prefix(':')),
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("0")),
        },
    };
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(inner)
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.split('.').all(is_label) && port.is_some_and(is_port)
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

/// Lower-case letters and digits, separated by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = text.bytes().next().is_some_and(alphanumeric) && text.bytes().last().is_some_and(alphanumeric);
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends && separators
        .filter(|between| !between.is_empty())
        .all(|between| matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, digits)) = digest.split_once(':') else { return false };
    let is_part = |part: &str| {
        part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    algorithm.split(['+', '.', '-', '_']).all(is_part) && digits.len() >= 32 && digits.bytes().all(is_hex_any)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_hex_any(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references() {
        fn check(text: &str, expected: Option<(&str, Option<&str>, Option<&str>)>) {
            let text = text.replace('H', H);
            let found = Image::parse(&text);
            let version = found.as_ref().and_then(Image::version);
            let expected_version =
                expected.and_then(|(.., version)| version).map(|text| text.replace('H', H));
            let expected = expected.map(|(name, tag, _)| (name.replace('H', H), tag));
            assert_eq!(found.map(|image| (image.name.to_owned(), image.tag)), expected, "{text}");
            assert_eq!(version, expected_version, "{text}");
        }
        check("img", Some(("img", None, None)));
        check("reg.example:5000/a/b:1.2", Some(("reg.example:5000/a/b", Some("1.2"), Some("1.2"))));
        check("reg.example:81/i@sha256:H", Some(("reg.example:81/i", None, Some("sha256:H"))));
        check("i:1.0@sha256:H", Some(("i", Some("1.0"), Some("1.0@sha256:H"))));
        check("Reg/Img:1", None);
        check("Reg/img:1", Some(("Reg/img", Some("1"), Some("1"))));
        check("H", Some(("H", None, None)));
        check("[::1]:5000/i", Some(("[::1]:5000/i", None, None)));
        check("a__b-c---d.e", Some(("a__b-c---d.e", None, None)));
        check("a..b", None);
        check("a/", None);
        check("", None);
        check("i@sha256:short", None);
        check("i:-bad", None);
        check(&"a".repeat(256), None);
    }

    #[test]
    fn digests() {
        fn check(id: &str, expected: Option<&str>) {
            let expected = expected.map(|text| text.replace('H', H));
            assert_eq!(repo_digest(&id.replace('H', H)), expected, "{id}");
        }
        check("nginx@sha256:H", Some("docker.io/library/nginx@sha256:H"));
        check("a/b@sha256:H", Some("docker.io/a/b@sha256:H"));
        check("reg.example/a:1@sha256:H", Some("reg.example/a:1@sha256:H"));
        check("localhost/a@sha256:H", Some("localhost/a@sha256:H"));
        check("sha256:H", None);
        check("H", None);
        check("docker-pullable://nginx@sha256:H", None);
        check("nginx:1", None);
        check("", None);
    }
}
