//! Which proxy a request goes through: the configured one, or that of the environment.

use std::fmt;

use confmap::Secret;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Uri, header};

/// The URL of an HTTP proxy. Its credentials are never shown.
#[derive(Clone)]
pub(crate) struct ProxyUrl {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(crate) authorization: Option<Secret>,
}

/// The proxies of a client.
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    /// Hosts that are reached directly, lower case: `*`, a name, or a name behind a dot.
    exempt: Vec<String>,
}

impl ProxyUrl {
    /// Reads `http://user:password@host:port`, the scheme being optional.
    pub(crate) fn parse(url: &Secret) -> Result<Self, String> {
        let text = url.expose();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        // The text may hold a password, so no error repeats it.
        let uri: Uri = text.parse().map_err(|_| "is not a valid URL".to_owned())?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err("only http proxies are supported".into());
        }
        let authority = uri.authority().ok_or("has no host")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authorization: credentials(authority) })
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Checks the URL of an HTTP proxy: `http://user:password@host:port`, the scheme and the port being optional.
///
/// # Errors
/// What is wrong. The text may hold a password, so the message does not repeat it.
pub fn check_proxy_url(url: &Secret) -> Result<(), String> {
    ProxyUrl::parse(url).map(drop)
}

impl Proxies {
    /// Everything through one proxy.
    pub(crate) fn fixed(url: ProxyUrl) -> Self {
        Self { http: Some(url.clone()), https: Some(url), exempt: Vec::new() }
    }

    /// Those of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, in upper or lower case. A proxy that cannot be used is
    /// said so and left out.
    pub(crate) fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| {
            variable(name).or_else(|| variable(&name.to_lowercase())).filter(|value| !value.is_empty())
        };
        let proxy = |name: &str| {
            let url = Secret::new(get(name)?);
            ProxyUrl::parse(&url)
                .inspect_err(|error| tracing::warn!(variable = name, error, "Ignoring the proxy"))
                .ok()
        };
        let exempt = get("NO_PROXY").unwrap_or_default();
        let exempt = exempt.split(',').map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty());
        Self { http: proxy("HTTP_PROXY"), https: proxy("HTTPS_PROXY"), exempt: exempt.collect() }
    }

    /// The same with more hosts that are reached directly, as in `NO_PROXY`.
    pub(crate) fn without(mut self, hosts: &[&str]) -> Self {
        self.exempt.extend(hosts.iter().map(|host| host.to_lowercase()));
        self
    }

    /// Puts the credentials of a proxy into the headers of a request that the proxy reads itself; a tunnel for https is
    /// authorized when it is made.
    pub(crate) fn authorize(&self, url: &Uri, headers: &mut HeaderMap) {
        let secret = self.of(url).and_then(|proxy| proxy.authorization.as_ref());
        if let (Some(secret), true) = (secret, url.scheme() == Some(&Scheme::HTTP))
            && let Ok(mut value) = HeaderValue::try_from(secret.expose())
        {
            value.set_sensitive(true);
            headers.insert(header::PROXY_AUTHORIZATION, value);
        }
    }

    /// The proxy for a URL; none for the own host and for exempt ones.
    pub(crate) fn of(&self, uri: &Uri) -> Option<&ProxyUrl> {
        let host = uri.host()?.trim_matches(['[', ']']).to_lowercase();
        let loopback = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        let exempt = self.exempt.iter().any(|pattern| covers(pattern, &host, uri.port_u16()));
        let proxy = if uri.scheme() == Some(&Scheme::HTTPS) { &self.https } else { &self.http };
        proxy.as_ref().filter(|_| !loopback && !exempt)
    }
}

fn credentials(authority: &Authority) -> Option<Secret> {
    use base64::Engine as _;
    let (user_info, _) = authority.as_str().rsplit_once('@')?;
    let encoded = base64::engine::general_purpose::STANDARD.encode(percent_decoded(user_info));
    Some(Secret::new(format!("Basic {encoded}")))
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether an entry of `NO_PROXY` covers a host: `example.com` and `.example.com` cover its subdomains too.
fn covers(pattern: &str, host: &str, port: Option<u16>) -> bool {
    let (pattern, wanted_port) = match pattern.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') => (name, digits.parse().ok()),
        _ => (pattern, None),
    };
    if wanted_port.is_some() && wanted_port != port {
        return false;
    }
    let name = pattern.trim_start_matches("*.").trim_start_matches('.');
    pattern == "*"
        || host == name
        || in_network(pattern, host)
        || host.strip_suffix(name).is_some_and(|front| front.ends_with('.'))
}

/// Whether `host` is an address in the network `pattern`, as in `10.0.0.0/8`.
fn in_network(pattern: &str, host: &str) -> bool {
    use std::net::IpAddr;
    let Some((network, bits)) = pattern.split_once('/') else { return false };
    let (Ok(network), Ok(address), Ok(bits)) = (network.parse(), host.parse(), bits.parse::<u32>()) else {
        return false;
    };
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected: Result<(&str, u16, Option<&str>), &str>| {
            let got = ProxyUrl::parse(&Secret::new(url))
                .map(|url| (url.host, url.port, url.authorization.map(|secret| secret.expose().to_owned())));
            let expected = expected
                .map(|(host, port, auth)| (host.to_owned(), port, auth.map(str::to_owned)))
                .map_err(str::to_owned);
            assert_eq!(got, expected, "{url}");
        };
        check("http://proxy:3128", Ok(("proxy", 3128, None)));
        check("proxy", Ok(("proxy", 80, None)));
        check("http://u:p%40@proxy:1", Ok(("proxy", 1, Some("Basic dTpwQA=="))));
        check("socks5://proxy:1", Err("only http proxies are supported"));
        check("http://a b", Err("is not a valid URL"));
    }

    #[test]
    fn of_the_environment() {
        let proxies = Proxies::from_environment(|name| match name {
            "https_proxy" => Some("http://secure:1".into()),
            "HTTP_PROXY" => Some("plain:2".into()),
            "NO_PROXY" => Some("internal.example, 10.0.0.0/8,other:99".into()),
            _ => None,
        });
        let check = |url: &str, expected: Option<&str>| {
            let proxy = proxies.of(&url.parse().unwrap()).map(|proxy| proxy.host.as_str());
            assert_eq!(proxy, expected, "{url}");
        };
        check("https://otlp.example/v1", Some("secure"));
        check("http://otlp.example/v1", Some("plain"));
        check("http://internal.example", None);
        check("http://a.internal.example", None);
        check("http://notinternal.example", Some("plain"));
        check("http://10.1.2.3:4318", None);
        check("http://11.1.2.3:4318", Some("plain"));
        check("http://other:99", None);
        check("http://other:98", Some("plain"));
        check("http://localhost:4318", None);
        check("http://127.0.0.1:4318", None);
        check("http://[::1]:4318", None);
    }
}
